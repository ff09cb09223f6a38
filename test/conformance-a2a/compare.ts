import type { Cell } from "./cells.ts";
import type { NormalTake } from "./normal.ts";
import type { Played } from "./play.ts";

/** Where a scenario did not go through the gateway as it goes without. */
export interface Difference {
  readonly scenario: string;
  readonly what: "result" | "wire" | "way";
  readonly direct: string;
  readonly through: string;
}

/** Holds what was played through the gateway against the same without, where the agent speaks the client's revision. */
export function compare(cell: Cell, direct: readonly Played[], through: readonly Played[]): Difference[] {
  return through.flatMap((played) => {
    const wanted = direct.find(({ scenario }) => scenario === played.scenario);
    const { scenario } = played;
    const [one, other] = [wordsFor(cell, wanted?.result), wordsFor(cell, played.result)];
    if (one !== other) return [{ scenario, what: "result", direct: one, through: other } as const];
    return cell.isSame && wanted !== undefined && !played.isGatewaysOwn
      ? wireDifference(scenario, wanted.takes, played.takes)
      : [];
  });
}

/** 0.1 has no word for a task that was rejected but that it failed. */
function wordsFor({ client, agent }: Cell, result: unknown): string {
  const text = JSON.stringify(result, inOrder) ?? "";
  return [client.version, agent.version].includes("0.1") ? text.replaceAll('"rejected"', '"failed"') : text;
}

/** Members in the order of their names. */
function inOrder(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function wireDifference(scenario: string, direct: readonly NormalTake[], through: readonly NormalTake[]): Difference[] {
  const isPolled = (take: NormalTake) => /GetTask|tasks\/get/.test(take.body) || take.request.startsWith("GET ");
  const [one, other] = [direct, through].map((takes) => takes.filter((take) => !isPolled(take)));
  const at = one?.findIndex((take, index) => JSON.stringify(take) !== JSON.stringify(other?.[index])) ?? -1;
  if (at < 0 && one?.length === other?.length) return [];
  const tell = (takes?: readonly NormalTake[]) => JSON.stringify(takes?.[Math.max(at, 0)] ?? "nothing");
  return [{ scenario, what: "wire", direct: tell(one), through: tell(other) }];
}

export interface Way {
  readonly origin: string;
  readonly key: string;
  readonly ledger: { readonly exchanges: readonly { readonly headers: object; readonly body: Buffer }[] };
}

/** Every message went through the gateway, once, and nothing beside it. */
export function strays({ origin, key, ledger }: Way, through: readonly Played[]): Difference[] {
  const bodies = ledger.exchanges.map(({ body }) => body.toString("utf8"));
  return through.flatMap(({ scenario, isGatewaysOwn, urls, messages }) => {
    const beside = urls.find((url) => !url.startsWith(`${origin}/`));
    const odd = messages.filter((id) => bodies.filter((body) => body.includes(id)).length !== 1);
    const problems = [
      beside !== undefined && `${beside} was called past the gateway`,
      odd.length > 0 && !isGatewaysOwn && `${odd.length} messages did not reach the agent exactly once`,
      JSON.stringify(ledger.exchanges.map(({ headers }) => headers)).includes(key) && "the agent saw the caller's key",
    ].filter((problem) => problem !== false);
    return problems.map((problem) => ({ scenario, what: "way", direct: "", through: problem }) as const);
  });
}

/** Why a scenario goes otherwise through the gateway where one of these clients speaks to one of these agents; all where none are named. */
interface Reason {
  readonly scenario: string;
  readonly clients?: readonly string[];
  readonly agents?: readonly string[];
  readonly reason: string;
}
export type Baseline = readonly Reason[];

export interface Review {
  readonly accepted: readonly Difference[];
  readonly unexpected: readonly Difference[];
  /** Scenarios that the baseline gives a reason for, though nothing differs. */
  readonly stale: readonly string[];
}

export function review(cell: Cell, differences: readonly Difference[], baseline: Baseline): Review {
  const [client, agent] = cell.name.split(" to ") as [string, string];
  const isAbout = ({ clients, agents }: Reason) =>
    clients?.includes(client) !== false && agents?.includes(agent) !== false;
  const known = new Set(baseline.filter(isAbout).map(({ scenario }) => scenario));
  const seen = new Set(differences.map(({ scenario }) => scenario));
  return {
    accepted: differences.filter(({ scenario }) => known.has(scenario)),
    unexpected: differences.filter(({ scenario }) => !known.has(scenario)),
    stale: [...known].filter((scenario) => !seen.has(scenario)),
  };
}
