import { parseArgs } from "node:util";
import { cells, type Cell } from "./cells.ts";
import { scenarios, type Scenario } from "./scenarios.ts";

export interface ConformanceOptions {
  readonly cells: readonly Cell[];
  readonly replicas: readonly number[];
  readonly concurrency: number;
  readonly only: (scenario: Scenario) => boolean;
}

const usage = `npm run conformance:a2a -- [options]

Clients of every revision and binding of A2A against agents of every revision, direct and through Sluice: byte by byte
where both speak the same, by meaning where Sluice translates. Ends with 1 where something differs and
test/conformance-a2a/baseline.json gives no reason for it.

  --cell NAME       only this one (may be repeated): ${cells.map(({ name }) => `"${name}"`).join(", ")}
  --same            only the cells where client and agent speak the same
  --scenario NAME   only this one (may be repeated), by the beginning of its name
  --list            the names of the scenarios
  --replicas N      of each service (default 1 and then 2; may be repeated)
  --jobs N          cells at a time (default 4)
  --help`;

const definitions = {
  cell: { type: "string", multiple: true },
  same: { type: "boolean", default: false },
  scenario: { type: "string", multiple: true },
  list: { type: "boolean", default: false },
  replicas: { type: "string", multiple: true },
  jobs: { type: "string", default: "4" },
  help: { type: "boolean", default: false },
} as const;

function whole(name: string, text: string, largest: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= largest) return value;
  throw new Error(`--${name} takes a whole number from 1 to ${largest}; it was "${text}"`);
}

/** What to say instead where help or a list is asked for; throws with what to write instead. */
export function readOptions(args: string[]): ConformanceOptions | string {
  const { values } = parseArgs({ args, options: definitions, strict: true });
  if (values.help) return usage;
  if (values.list) return scenarios.map(({ name }) => name).join("\n");
  const isNamed = ({ name }: Scenario) => values.scenario?.some((text) => name.startsWith(text)) !== false;
  const isWanted = ({ name, isSame }: Cell) => values.cell?.includes(name) !== false && (isSame || !values.same);
  const wanted = cells.filter(isWanted);
  const unknown = values.cell?.find((text) => !cells.some(({ name }) => name === text));
  if (unknown !== undefined) throw new Error(`--cell takes one of those that --help names; it was "${unknown}"`);
  if (!scenarios.some(isNamed)) throw new Error(`--scenario: no name begins so; see --list`);
  return {
    cells: wanted,
    replicas: (values.replicas ?? ["1", "2"]).map((text) => whole("replicas", text, 5)),
    concurrency: whole("jobs", values.jobs, 16),
    only: isNamed,
  };
}
