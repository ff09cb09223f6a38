import type { Bus } from "@sluice/bus";
import {
  encodeJson,
  slotRenewMs,
  subjects,
  type Counted,
  type GiveBack,
  type LimitVerdict,
  type Slot,
} from "@sluice/contracts";

interface Account {
  leases: NonNullable<GiveBack["leases"]>[number][];
  ended: Slot[];
  held: Slot[];
}

interface InFlight {
  readonly slot: Slot;
  readonly subject: string;
  wasRenewed: boolean;
}

/** So many entries fit one message, however many windows each has. */
const entriesAtOnce = 100;

/**
 * What rate-limit counted for calls of this replica: says which of it was not used, which calls are still in flight, and which
 * are over. A call that limits say nothing about is nowhere here.
 */
export class CountedCalls implements Disposable {
  readonly #bus: Bus;
  readonly #inFlight = new Map<string, InFlight>();
  /** What is to be told, by who it is told to. */
  #accounts = new Map<string, Account>();
  #isScheduled = false;
  /** Told once more: a word that they were in flight may have come behind the one that they ended. */
  #endedLately: { slot: Slot; subject: string }[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #off: () => void;

  constructor(bus: Bus) {
    this.#bus = bus;
    this.#timer = setInterval(() => this.#renew(), slotRenewMs).unref();
    this.#off = bus.onReconnect(() => this.#renew());
  }

  /** Calls in flight that have a slot. */
  get size(): number {
    return this.#inFlight.size;
  }

  /** Calls that were counted and are not carried out. */
  giveBack(calls: number, counted: Counted | undefined): void {
    if (counted === undefined || calls <= 0) return;
    const { windows = [], slot } = counted;
    if (windows.length === 0 && slot === undefined) return;
    const account = this.#accountOf(subjectOf(counted));
    if (windows.length > 0) account.leases.push({ calls, windows });
    if (slot !== undefined) account.ended.push(slot);
  }

  /** A call is in flight until `end` gets what this gives: its slot, where it has one. */
  begin(verdict: LimitVerdict): Slot | undefined {
    const counted = verdict.ok ? verdict.counted : undefined;
    const slot = counted?.slot;
    if (counted === undefined || slot === undefined) return undefined;
    this.#inFlight.set(slot.id, { slot, subject: subjectOf(counted), wasRenewed: false });
    return slot;
  }

  end(slot: Slot | undefined): void {
    const ended = slot === undefined ? undefined : this.#inFlight.get(slot.id);
    if (ended === undefined) return;
    this.#inFlight.delete(ended.slot.id);
    this.#accountOf(ended.subject).ended.push(ended.slot);
    if (ended.wasRenewed) this.#endedLately.push(ended);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#off();
    this.#tell();
  }

  #renew(): void {
    for (const { slot, subject } of this.#endedLately) this.#accountOf(subject).ended.push(slot);
    this.#endedLately = [];
    for (const call of this.#inFlight.values()) {
      call.wasRenewed = true;
      this.#accountOf(call.subject).held.push(call.slot);
    }
  }

  #accountOf(subject: string): Account {
    let account = this.#accounts.get(subject);
    if (account === undefined) this.#accounts.set(subject, (account = { leases: [], ended: [], held: [] }));
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      this.#bus.atEndOfTurn(() => this.#tell());
    }
    return account;
  }

  /** While the bus is away nothing is sent: what was counted stays counted, and slots end by themselves. */
  #tell(): void {
    this.#isScheduled = false;
    const accounts = this.#accounts;
    this.#accounts = new Map();
    for (const [subject, account] of accounts) {
      for (const kind of ["leases", "ended", "held"] as const) {
        const entries = account[kind];
        for (let at = 0; at < entries.length && this.#bus.connected; at += entriesAtOnce)
          this.#bus.tell(subject, encodeJson({ [kind]: entries.slice(at, at + entriesAtOnce) } satisfies GiveBack));
      }
    }
  }
}

/** What one replica counted by itself only that replica can take back. */
function subjectOf({ by }: Counted): string {
  return by === undefined ? subjects.ask("rate-limit", "give") : subjects.ownRateLimit(by);
}
