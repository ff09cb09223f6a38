import type { Counted, Intent, LimitVerdict, PolicyVerdict, Quota } from "@sluice/contracts";
import type { CountedCalls } from "./counted-calls.ts";

/** A verdict, and the version of the configuration that it was made under. */
interface Versioned<Verdict> {
  readonly verdict: Verdict;
  readonly version: number;
}

/** Times are of `performance.now()`. */
interface PolicyLease extends Versioned<PolicyVerdict> {
  readonly until: number;
}

interface Grant {
  left: number;
  readonly until: number;
  readonly counted: Counted | undefined;
  readonly quotas: readonly Quota[] | undefined;
}

interface Entry {
  policy: PolicyLease | undefined;
  grants: Grant[];
}

/** What of a call need not be asked about. */
export interface Held {
  readonly policy: Versioned<PolicyVerdict> | undefined;
  /** Where the call was counted ahead, or no limit applies. */
  readonly limit: Extract<LimitVerdict, { ok: true }> | undefined;
}

export interface Granted {
  readonly policy: Versioned<PolicyVerdict> | undefined;
  readonly limit: Versioned<LimitVerdict> | undefined;
  /** When was asked. */
  readonly askedAt: number;
}

const nothing: Held = { policy: undefined, limit: undefined };
const unlimited: Held["limit"] = { ok: true };
const maxEntries = 10_000;
const longestTarget = 256;
const sweepEveryMs = 250;

/**
 * Verdicts that may be used again for the same call of the same caller, and calls that rate-limit counted ahead (ADR 0001).
 * They hold for a second at most, and only under the version of the configuration that ingress itself has.
 */
export class Leases implements Disposable {
  readonly #calls: CountedCalls;
  readonly #entries = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #version = 0;

  constructor(calls: CountedCalls) {
    this.#calls = calls;
    this.#timer = setInterval(() => this.#sweep(performance.now()), sweepEveryMs).unref();
  }

  /** Of the configuration that ingress has. */
  get version(): number {
    return this.#version;
  }

  /** Nothing that was decided under another version counts any more. */
  configure(version: number): void {
    this.#version = version;
    this.#sweep(Infinity);
  }

  /** What is held for this call; of calls counted ahead, one is used up. */
  take(intent: Intent): Held {
    const entry = this.#entries.get(kindOf(intent));
    if (entry === undefined) return nothing;
    const now = performance.now();
    const grant = entry.grants.find(({ left, until }) => left > 0 && until > now);
    if (grant !== undefined) grant.left--;
    return {
      policy: entry.policy !== undefined && entry.policy.until > now ? entry.policy : undefined,
      limit: grant === undefined ? undefined : verdictOf(grant),
    };
  }

  grant(intent: Intent, { policy, limit, askedAt }: Granted): void {
    const leaseMs = policy?.verdict.ok === true ? policy.verdict.leaseMs : undefined;
    if (policy !== undefined && leaseMs !== undefined && policy.version === this.#version) {
      const entry = this.#entryOf(intent);
      if (entry !== undefined) entry.policy = { ...policy, until: askedAt + leaseMs };
    }
    if (limit?.verdict.ok !== true || limit.verdict.lease === undefined) return;
    const { lease, counted, quotas } = limit.verdict;
    const grant: Grant = { left: lease.calls ?? Infinity, until: askedAt + lease.ms, counted, quotas };
    const entry = limit.version === this.#version ? this.#entryOf(intent) : undefined;
    if (entry === undefined) return this.#calls.giveBack(grant.left, counted);
    entry.grants = entry.grants.filter(({ left }) => left > 0 && left < Infinity);
    entry.grants.push(grant);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#sweep(Infinity);
  }

  #entryOf(intent: Intent): Entry | undefined {
    if (((intent.resumes ?? intent).target?.length ?? 0) > longestTarget) return undefined;
    const kind = kindOf(intent);
    const known = this.#entries.get(kind);
    if (known !== undefined) return known;
    if (this.#entries.size >= maxEntries) return undefined;
    const entry: Entry = { policy: undefined, grants: [] };
    this.#entries.set(kind, entry);
    return entry;
  }

  #sweep(now: number): void {
    for (const [kind, entry] of this.#entries) {
      if (entry.policy !== undefined && entry.policy.until <= now) entry.policy = undefined;
      const expired = entry.grants.filter(({ until }) => until <= now);
      if (expired.length > 0) entry.grants = entry.grants.filter(({ until }) => until > now);
      for (const { left, counted } of expired) this.#calls.giveBack(left, counted);
      if (entry.policy === undefined && entry.grants.length === 0) this.#entries.delete(kind);
    }
  }
}

/** What the agent is told of its limits is as old as the lease, but for the calls that it has left. */
function verdictOf({ left, counted, quotas }: Grant): Held["limit"] {
  if (counted === undefined) return unlimited;
  return {
    ok: true,
    counted,
    ...(quotas !== undefined && { quotas: quotas.map((quota) => ({ ...quota, left: quota.left + left })) }),
  };
}

/** Calls of one kind get one verdict. Only the target is free text, and it comes last. */
function kindOf(intent: Intent): string {
  const { tenant, agent, identity, protocol, server, namedServer, resumes } = intent;
  const { targetKind, target } = resumes ?? intent;
  const called = `${protocol}\0${server}\0${namedServer ?? ""}\0${intent.method}\0${resumes?.method ?? ""}\0${targetKind ?? ""}`;
  return `${tenant}\0${agent.id}\0${identity ?? ""}\0${called}\0${target ?? ""}`;
}
