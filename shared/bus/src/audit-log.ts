import { encodeJson, subjects } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { store } from "./durable.ts";

const flushEveryMs = 20;
const batchSize = 64;
const storeTimeoutMs = 2_000;
const retryMs = 250;
const maxWaiting = 50_000;

type EventsKind = "outcomes" | "actions" | "streamEvents";

/**
 * Brings events to the AUDIT stream in batches (`{from, outcomes}`, `{from, actions}` or `{from, streamEvents}`), off the path of the request, each until it is stored.
 * Sending twice is harmless: the audit service keeps each event once.
 */
export class AuditLog<Event> implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #kind: EventsKind;
  readonly #waiting: Event[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  /** @param kind under which name a batch holds the events */
  constructor(bus: Bus, kind: EventsKind) {
    this.#bus = bus;
    this.#kind = kind;
  }

  /** Whether so much waits to be stored that nothing new should be taken. */
  get full(): boolean {
    return this.#waiting.length >= maxWaiting;
  }

  add(event: Event): void {
    this.#waiting.push(event);
    if (this.#waiting.length >= batchSize) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), flushEveryMs);
  }

  /** Stores events at once. @throws Fault `unavailable` where one was not stored. */
  async addNow(...events: readonly Event[]): Promise<void> {
    for (let at = 0; at < events.length; at += batchSize) await this.#store(events.slice(at, at + batchSize));
  }

  /** Resolves when nothing waits any more; at the bus' end what is left is unknown. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#waiting.length > 0 || this.#sending !== undefined) {
      this.#flush();
      await this.#sending;
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#drain().finally(() => (this.#sending = undefined));
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const events = this.#waiting.slice(0, batchSize);
      try {
        await this.#store(events);
        this.#waiting.splice(0, events.length);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  #store(events: readonly Event[]): Promise<void> {
    const payload = encodeJson({ from: this.#bus.instance, [this.#kind]: events });
    return store(this.#bus, { subject: subjects.audit(this.#bus.service), payload }, storeTimeoutMs);
  }
}
