import type { Bus } from "@sluice/bus";
import {
  encodeJson,
  subjects,
  type GiveBack,
  type Intent,
  type CountedWindow,
  type LimitVerdict,
  type PolicyVerdict,
} from "@sluice/contracts";

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
  readonly windows: readonly CountedWindow[];
}

interface Entry {
  policy: PolicyLease | undefined;
  grants: Grant[];
}

/** What of a call need not be asked about. */
export interface Held {
  readonly policy: Versioned<PolicyVerdict> | undefined;
  readonly limit: boolean;
  /** Where the call was counted ahead. */
  readonly windows?: readonly CountedWindow[];
}

export interface Granted {
  readonly policy: Versioned<PolicyVerdict> | undefined;
  readonly limit: Versioned<LimitVerdict> | undefined;
  /** When was asked. */
  readonly askedAt: number;
}

const nothing: Held = { policy: undefined, limit: false };
const maxEntries = 10_000;
const longestTarget = 256;
const sweepEveryMs = 250;
/** So many leases fit one message, however many windows each has. */
const givenAtOnce = 100;

/**
 * Verdicts that may be used again for the same call of the same agent, and calls that rate-limit counted ahead (ADR 0001).
 * They hold for a second at most, and only under the version of the configuration that ingress itself has.
 */
export class Leases implements Disposable {
  readonly #bus: Bus;
  readonly #entries = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #version = 0;
  #unused: GiveBack["leases"][number][] = [];

  constructor(bus: Bus) {
    this.#bus = bus;
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
      limit: grant !== undefined,
      ...(grant !== undefined && { windows: grant.windows }),
    };
  }

  grant(intent: Intent, { policy, limit, askedAt }: Granted): void {
    const leaseMs = policy?.verdict.ok === true ? policy.verdict.leaseMs : undefined;
    if (policy !== undefined && leaseMs !== undefined && policy.version === this.#version) {
      const entry = this.#entryOf(intent);
      if (entry !== undefined) entry.policy = { ...policy, until: askedAt + leaseMs };
    }
    if (limit?.verdict.ok !== true || limit.verdict.lease === undefined) return;
    const { lease, windows = [] } = limit.verdict;
    const grant: Grant = { left: lease.calls ?? Infinity, until: askedAt + lease.ms, windows };
    const entry = limit.version === this.#version ? this.#entryOf(intent) : undefined;
    if (entry === undefined) return this.giveBack(grant.left, windows);
    entry.grants = entry.grants.filter(({ left }) => left > 0 && left < Infinity);
    entry.grants.push(grant);
  }

  /** Calls that were counted and will not be carried out; rate-limit is told soon. */
  giveBack(calls: number, windows: readonly CountedWindow[] = []): void {
    if (calls > 0 && windows.length > 0) this.#unused.push({ calls, windows });
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
      for (const { left, windows } of expired) this.giveBack(left, windows);
      if (entry.policy === undefined && entry.grants.length === 0) this.#entries.delete(kind);
    }
    this.#tellUnused();
  }

  /** While the bus is away nothing is sent, and what was counted stays counted. */
  #tellUnused(): void {
    const unused = this.#unused;
    this.#unused = [];
    for (let at = 0; at < unused.length && this.#bus.connected; at += givenAtOnce) {
      const leases = unused.slice(at, at + givenAtOnce);
      this.#bus.tell(subjects.ask("rate-limit", "give"), encodeJson({ leases } satisfies GiveBack));
    }
  }
}

/** Calls of one kind get one verdict. Only the target is free text, and it comes last. */
function kindOf(intent: Intent): string {
  const { tenant, agent, protocol, server, resumes } = intent;
  const { targetKind, target } = resumes ?? intent;
  const called = `${protocol}\0${server}\0${intent.method}\0${resumes?.method ?? ""}\0${targetKind ?? ""}`;
  return `${tenant}\0${agent.id}\0${called}\0${target ?? ""}`;
}
