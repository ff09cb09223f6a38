import { Fault, sluiceVersion, subjects, type TrailEvent, type TrailEventKind } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { store } from "./durable.ts";

/** An event before it has its number. */
export type Untold = Unnumbered<TrailEvent>;
type Unnumbered<Event> = Event extends { readonly event: TrailEventKind } ? Omit<Event, "seq"> : never;

const flushEveryMs = 20;
const batchSize = 64;
/** Less than NATS carries in one message (1 MiB) by what is around the events. */
const batchBytes = 1_000_000;
const storeTimeoutMs = 2_000;
const retryMs = 250;
const maxWaiting = 50_000;
const maxWaitingBytes = 64 * 1024 * 1024;
/** From here on content stays behind, so that calls go on. */
const pressedBytes = 16 * 1024 * 1024;

/** An event that waits to be stored, as it goes out. */
interface Told {
  readonly json: string;
  readonly bytes: number;
  readonly onStored?: (() => void) | undefined;
}

/**
 * One process's part of the audit trail. All its events have numbers of one row, from 1; what it adds goes to the AUDIT stream in
 * batches (`TrailBatch`), in order and off the path of the request, each until it is stored: sending twice is harmless, because the
 * audit service keeps each event once. Its first event says that the process has started, and its last that it has ended and told
 * all: so it is to be opened before, and closed after, whatever adds to it.
 */
export class AuditLog implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #waiting: Told[] = [];
  #waitingBytes = 0;
  #seq = 0;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(bus: Bus) {
    this.#bus = bus;
    this.#say("started");
  }

  /** Whether so much waits to be stored that nothing new should be taken. */
  get full(): boolean {
    return this.#waiting.length >= maxWaiting || this.#waitingBytes >= maxWaitingBytes;
  }

  /** Whether so much waits that events should say no more than they must. */
  get pressed(): boolean {
    return this.#waitingBytes >= pressedBytes;
  }

  /** The number of an event that goes its own way, such as an intent in its admission message; where that fails it is to be `put` here. */
  nextSeq(): number {
    return ++this.#seq;
  }

  add(event: Untold): void {
    if (!this.#stopped) this.put({ ...event, seq: this.nextSeq() });
  }

  /** Adds an event that has its number already. */
  put(event: TrailEvent): void {
    this.#push(event);
    if (this.#waiting.length >= batchSize) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), flushEveryMs);
  }

  /**
   * Resolves once all of these are stored.
   * @throws Fault `unavailable` where they are not yet: they will be, as soon as that is possible, but for a log that is full.
   */
  async addNow(...events: readonly Untold[]): Promise<void> {
    if (this.full || this.#stopped) throw notStored();
    const last = events.at(-1);
    if (last === undefined) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    for (const event of events) this.#push({ ...event, seq: this.nextSeq() }, event === last ? resolve : undefined);
    const timer = setTimeout(() => reject(notStored()), storeTimeoutMs);
    this.#flush();
    await promise.finally(() => clearTimeout(timer));
  }

  /** Resolves when all is stored; what is left at the bus' end is lost, and its missing numbers show it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped) return;
    this.#say("stopped");
    this.#stopped = true;
    while (this.#waiting.length > 0 || this.#sending !== undefined) {
      this.#flush();
      await this.#sending;
    }
  }

  #say(word: "started" | "stopped"): void {
    this.add({ event: "emitter", at: Date.now(), service: this.#bus.service, word, version: sluiceVersion });
  }

  #push(event: TrailEvent, onStored?: () => void): void {
    let json = JSON.stringify(event);
    if (json.length * 3 > batchBytes && Buffer.byteLength(json) > batchBytes)
      json = JSON.stringify(withoutMatter(event));
    const bytes = Buffer.byteLength(json) + 1;
    this.#waiting.push({ json, bytes, onStored });
    this.#waitingBytes += bytes;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#drain().finally(() => (this.#sending = undefined));
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#store(batch);
        this.#waiting.splice(0, batch.length);
        for (const { bytes, onStored } of batch) {
          this.#waitingBytes -= bytes;
          onStored?.();
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  /** As many as fit one message, one at least. */
  #nextBatch(): readonly Told[] {
    let [count, bytes] = [0, 0];
    for (const one of this.#waiting) {
      bytes += one.bytes;
      if (count === batchSize || (count > 0 && bytes > batchBytes)) break;
      count++;
    }
    return this.#waiting.slice(0, count);
  }

  #store(batch: readonly Told[]): Promise<void> {
    const events = batch.map(({ json }) => json).join(",");
    const payload = Buffer.from(`{"from":${JSON.stringify(this.#bus.instance)},"events":[${events}]}`);
    return store(this.#bus, { subject: subjects.audit(this.#bus.service), payload }, storeTimeoutMs);
  }
}

/** What is left of an event that no message carries: it is on record, without what was taken of the call. */
function withoutMatter(event: TrailEvent): TrailEvent {
  if (event.event === "content") return { ...event, data: "" };
  if (event.event !== "intent" && event.event !== "outcome") return event;
  const { captured: _captured, ...rest } = event;
  return rest;
}

function notStored(): Fault {
  return new Fault("unavailable", "the audit trail cannot be written at the moment");
}
