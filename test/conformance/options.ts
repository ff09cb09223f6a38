import { parseArgs } from "node:util";
import { cells, crossEraIsOn, type Cell } from "./cells.ts";
import { suiteNames, type SuiteName } from "./suites.ts";

export interface ConformanceOptions {
  readonly cells: readonly Cell[];
  readonly suites: readonly SuiteName[];
  readonly replicas: readonly number[];
  readonly concurrency: number;
  readonly keep: boolean;
  readonly client: boolean;
}

export const usage = `npm run conformance -- [options]

The official MCP conformance suites against fixture servers, direct and through Sluice, compared check by check.
Ends with 1 where a check is judged differently and test/conformance/baseline.json gives no reason for it.

  --cell NAME       only this one (may be repeated): ${cells.map(({ name }) => name).join(", ")}
  --suite NAME      only this one (may be repeated): ${suiteNames.join(", ")}
  --no-cross-era    without the cells in which Sluice must translate between the eras
  --replicas N      of each service (default 1 and then 2; may be repeated)
  --jobs N          suites at a time (default 2)
  --no-client       leaves the client's side out
  --client          the client's side alone
  --keep            keeps the suites' results and says where
  --help`;

const definitions = {
  cell: { type: "string", multiple: true },
  suite: { type: "string", multiple: true },
  "cross-era": { type: "boolean", default: crossEraIsOn },
  replicas: { type: "string", multiple: true },
  jobs: { type: "string", default: "2" },
  client: { type: "boolean" },
  keep: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

function whole(name: string, text: string, largest: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= largest) return value;
  throw new Error(`--${name} takes a whole number from 1 to ${largest}; it was "${text}"`);
}

function known(name: string, wanted: readonly string[] | undefined, all: readonly string[]): readonly string[] {
  const unknown = wanted?.find((text) => !all.includes(text));
  if (unknown !== undefined) throw new Error(`--${name} takes ${all.join(", ")}; it was "${unknown}"`);
  return wanted ?? all;
}

/** Undefined where help is asked for; throws with what to write instead. */
export function readOptions(args: string[]): ConformanceOptions | undefined {
  const { values } = parseArgs({ args, options: definitions, strict: true, allowNegative: true });
  if (values.help) return undefined;
  const named = known(
    "cell",
    values.cell,
    cells.map(({ name }) => name),
  );
  const ofSuites = known("suite", values.suite, suiteNames);
  const isWanted = ({ name, suite, isCrossEra }: Cell) =>
    named.includes(name) &&
    ofSuites.includes(suite) &&
    (!isCrossEra || values["cross-era"] || values.cell !== undefined);
  return {
    suites: suiteNames.filter((name) => ofSuites.includes(name)),
    cells: values.client === true ? [] : cells.filter(isWanted),
    replicas: (values.replicas ?? ["1", "2"]).map((text) => whole("replicas", text, 5)),
    concurrency: whole("jobs", values.jobs, 16),
    keep: values.keep,
    client: values.client ?? values.cell === undefined,
  };
}
