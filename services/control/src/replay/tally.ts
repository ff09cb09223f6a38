import type { RecordedCall } from "./recorded-call.ts";
import type { Judgement } from "./replay.ts";

/** Calls that would be decided otherwise in the same way. Times are ISO 8601. */
export interface Group {
  readonly tenant: string;
  /** What the call was decided by, and what it would be decided by. */
  readonly was: string;
  readonly now: string;
  readonly becomes: "allow" | "deny";
  /** Null where a group stands for many, because there are too many to tell apart. */
  readonly agent: string | null;
  readonly method: string | null;
  readonly server: string | null;
  readonly target: string | null;
  calls: number;
  readonly first: string;
  last: string;
  /** The last of them. */
  example: string;
}

/** Calls of which it can't be told, for one reason. */
interface UntoldGroup {
  readonly tenant: string;
  readonly because: string;
  readonly rules: readonly string[];
  calls: number;
  example: string;
}

/** Groups that are told apart; agents, methods and targets of those that come later are not. */
const mostGroups = 10_000;
const lists: ReadonlySet<string> = new Set(
  ["tools", "prompts", "resources", "resources/templates"].map((kind) => `${kind}/list`),
);
const cards: ReadonlySet<string> = new Set(["GetAgentCard", "GetExtendedAgentCard"]);

/** Counts judgements; what it holds does not grow with the number of calls. */
export class Tally {
  readonly #most: number;
  readonly #changed = new Map<string, Group>();
  readonly #shadowed = new Map<string, Group>();
  readonly #untold = new Map<string, UntoldGroup>();
  readonly #uncompared = new Map<string, number>();
  #read = 0;
  #told = 0;
  #shadowUntold = 0;
  #lists = 0;
  #first: string | null = null;
  #last: string | null = null;

  constructor(most = mostGroups) {
    this.#most = most;
  }

  add(call: RecordedCall, judgement: Judgement): void {
    this.#read++;
    this.#first ??= call.at;
    this.#last = call.at;
    if (judgement.kind === "uncompared") {
      this.#uncompared.set(judgement.because, (this.#uncompared.get(judgement.because) ?? 0) + 1);
      return;
    }
    if (lists.has(call.method) || cards.has(call.method)) this.#lists++;
    if (judgement.kind === "untold") {
      const { because, rules } = judgement;
      const group = grouped(this.#untold, [call.tenant, because, ...rules], () => {
        return { tenant: call.tenant, because, rules, calls: 0, example: call.call };
      });
      group.calls++;
      group.example = call.call;
      return;
    }
    const { was, now, shadow, isShadowUntold } = judgement;
    this.#told++;
    if (isShadowUntold) this.#shadowUntold++;
    if (was.decision !== now.decision)
      this.#count(this.#changed, call, { was: was.rule, now: now.rule, becomes: now.decision });
    if (shadow !== undefined)
      this.#count(this.#shadowed, call, { was: now.rule, now: shadow.rule, becomes: shadow.decision });
  }

  /** What was found: groups with the most calls first. */
  report() {
    const changed = byCalls(this.#changed.values());
    const sum = (groups: readonly { readonly calls: number }[]) =>
      groups.reduce((calls, group) => calls + group.calls, 0);
    const untold = byCalls(this.#untold.values());
    const shadowed = byCalls(this.#shadowed.values());
    const uncompared = byCalls([...this.#uncompared].map(([because, calls]) => ({ because, calls })));
    const denied = sum(changed.filter(({ becomes }) => becomes === "deny"));
    const allowed = sum(changed) - denied;
    return {
      calls: this.#read,
      first: this.#first,
      last: this.#last,
      /** Those whose decision under the new configuration is known. */
      told: this.#told,
      otherwise: denied + allowed,
      newlyDenied: denied,
      newlyAllowed: allowed,
      changed,
      untold: { calls: sum(untold), groups: untold },
      uncompared: { calls: sum(uncompared), reasons: uncompared },
      shadow: { calls: sum(shadowed), untold: this.#shadowUntold, groups: shadowed },
      lists: this.#lists,
    };
  }

  #count(groups: Map<string, Group>, call: RecordedCall, change: Pick<Group, "was" | "now" | "becomes">): void {
    const { tenant, at } = call;
    const { was, now, becomes } = change;
    const called = calledIn(call);
    const rules = [tenant, was, now, becomes];
    const start = { tenant, ...change, calls: 0, first: at, last: at, example: call.call };
    const key = keyOf([...rules, ...Object.values(called)]);
    const group =
      groups.size < this.#most || groups.has(key)
        ? grouped(groups, [...rules, ...Object.values(called)], () => ({ ...start, ...called }))
        : grouped(groups, rules, () => ({ ...start, agent: null, method: null, server: null, target: null }));
    group.calls++;
    group.last = at;
    group.example = call.call;
  }
}

function calledIn(call: RecordedCall) {
  const { agent_id: agent, resumes, server, named_server: named } = call;
  const { method, target = null } = resumes ?? call;
  return { agent, method, server: named ?? server, target };
}

function grouped<Of>(groups: Map<string, Of>, parts: readonly (string | null)[], make: () => Of): Of {
  const key = keyOf(parts);
  let group = groups.get(key);
  if (group === undefined) groups.set(key, (group = make()));
  return group;
}

function keyOf(parts: readonly (string | null)[]): string {
  return JSON.stringify(parts);
}

function byCalls<Of extends { readonly calls: number }>(groups: Iterable<Of>): Of[] {
  return [...groups].toSorted((one, other) => other.calls - one.calls);
}
