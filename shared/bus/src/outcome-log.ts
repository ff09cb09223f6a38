import { encodeJson, subjects, type Outcome, type OutcomeBatch } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import { store } from "./durable.ts";

const flushEveryMs = 20;
const batchSize = 64;
const storeTimeoutMs = 2_000;
const retryMs = 250;
const maxWaiting = 50_000;

/**
 * Brings outcomes to the AUDIT stream in batches, off the path of the request, each until it is stored.
 * Sending twice is harmless: the audit service keeps one outcome per call.
 */
export class OutcomeLog implements AsyncDisposable {
  readonly #bus: Bus;
  readonly #waiting: Outcome[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Whether so much waits to be stored that no new call should be taken. */
  get full(): boolean {
    return this.#waiting.length >= maxWaiting;
  }

  add(outcome: Outcome): void {
    this.#waiting.push(outcome);
    if (this.#waiting.length >= batchSize) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), flushEveryMs);
  }

  /** Resolves when nothing waits any more; at the bus' end what is left shows as "outcome unknown". */
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
      const outcomes = this.#waiting.slice(0, batchSize);
      const batch: OutcomeBatch = { from: this.#bus.instance, outcomes };
      try {
        await store(
          this.#bus,
          { subject: subjects.audit(this.#bus.service), payload: encodeJson(batch) },
          storeTimeoutMs,
        );
        this.#waiting.splice(0, outcomes.length);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }
}
