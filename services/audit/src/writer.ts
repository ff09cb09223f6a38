import { setTimeout as delay } from "node:timers/promises";
import type { Delivery } from "@sluice/bus";
import { describeError, type Log } from "@sluice/telemetry";
import type { AuditMetrics } from "./audit-metrics.ts";
import { Batches, type Ripeness } from "./batches.ts";
import type { EventRow } from "./event-row.ts";
import { Unstorable, type Events } from "./events-postgres.ts";
import { Poison, readMessage } from "./read-message.ts";

export interface WriterOptions {
  readonly events: Events;
  readonly batch: Ripeness;
  readonly metrics: AuditMetrics;
  readonly log: Log;
  /** Keeps a message that can't be stored; resolves once it is kept. */
  readonly keepDeadLetter: (delivery: Delivery, reason: string) => Promise<void>;
}

interface Held {
  readonly delivery: Delivery;
  readonly rows: readonly EventRow[];
}

const firstRetryMs = 100;
const lastRetryMs = 5_000;
const deadLetterRetryMs = 5_000;

/** Stores deliveries in batches and acknowledges each only after its commit. While the store is away nothing is acknowledged. */
export class Writer {
  readonly #options: WriterOptions;
  readonly #batches: Batches<Held>;
  readonly #held = new Set<Delivery>();
  readonly #stopping = new AbortController();
  readonly #finished: Promise<void>;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#batches = new Batches(options.batch);
    this.#finished = this.#run();
  }

  take(delivery: Delivery): void {
    try {
      const rows = readMessage(delivery.data);
      this.#held.add(delivery);
      this.#batches.add({ delivery, rows }, rows.length);
    } catch (error) {
      if (!(error instanceof Poison)) throw error;
      void this.#bury(delivery, error.message);
    }
  }

  /** Asks for more time for everything in hand. */
  hold(): void {
    for (const delivery of this.#held) delivery.working();
  }

  /** Stores what is in hand; gives it back where the store is away. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#batches.close();
    await this.#finished;
  }

  async #run(): Promise<void> {
    for await (const batch of this.#batches) await this.#storeUntilDone(batch);
  }

  async #storeUntilDone(batch: readonly Held[]): Promise<void> {
    for (let retryMs = firstRetryMs; ; retryMs = Math.min(retryMs * 2, lastRetryMs)) {
      try {
        return await this.#store(batch);
      } catch (error) {
        if (error instanceof Unstorable) return await this.#storeOneByOne(batch, error);
        this.#options.metrics.failures.inc();
        this.#options.log.warn(
          { error: describeError(error), messages: batch.length },
          "events can't be stored now; they stay in the stream",
        );
        if (!this.#stopping.signal.aborted)
          await delay(retryMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
        if (this.#stopping.signal.aborted) return this.#giveBack(batch);
      }
    }
  }

  async #store(batch: readonly Held[]): Promise<void> {
    const { events, metrics } = this.#options;
    const rows = batch.flatMap((held) => held.rows);
    const stored = await events.store(rows);
    for (const { delivery } of batch) this.#done(delivery);
    metrics.batch.observe(rows.length);
    metrics.stored.inc(stored);
    metrics.repeated.inc(rows.length - stored);
  }

  async #storeOneByOne(batch: readonly Held[], refusal: Unstorable): Promise<void> {
    const [only] = batch;
    if (batch.length > 1) for (const held of batch) await this.#storeUntilDone([held]);
    else if (only !== undefined) await this.#bury(only.delivery, refusal.message);
  }

  #done(delivery: Delivery): void {
    this.#held.delete(delivery);
    delivery.ack();
  }

  #giveBack(batch: readonly Held[]): void {
    for (const { delivery } of batch) {
      this.#held.delete(delivery);
      delivery.nak();
    }
  }

  async #bury(delivery: Delivery, reason: string): Promise<void> {
    const { log, metrics, keepDeadLetter } = this.#options;
    try {
      await keepDeadLetter(delivery, reason);
      this.#done(delivery);
      metrics.deadLetters.inc();
      log.error({ subject: delivery.subject, reason }, "a message can't be stored and went to AUDIT_DEAD");
    } catch (error) {
      this.#held.delete(delivery);
      delivery.nak(deadLetterRetryMs);
      log.error(
        { subject: delivery.subject, reason, error: describeError(error) },
        "a message can't be stored, nor kept in AUDIT_DEAD",
      );
    }
  }
}
