import { setTimeout as delay } from "node:timers/promises";
import type { Delivery } from "@sluice/bus";
import { encodeJson } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { AuditMetrics } from "./audit-metrics.ts";
import { Batches, type Ripeness } from "./batches.ts";
import { TrailBroken } from "./edges-postgres.ts";
import { Unstorable, type Events } from "./events-postgres.ts";
import { troubleOf } from "./trouble.ts";
import type { DeadLetter } from "./dead-letters.ts";
import { Poison, readMessage, type ReadEvent } from "./read-message.ts";

export interface WriterOptions {
  readonly events: Events;
  readonly batch: Ripeness;
  readonly metrics: AuditMetrics;
  readonly log: Log;
  /** Keeps what can't be stored; resolves once it is kept. */
  readonly keepDeadLetter: (dead: DeadLetter, reason: string) => Promise<void>;
}

interface Held {
  readonly delivery: Delivery;
  readonly events: readonly ReadEvent[];
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
  #trouble: string | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#batches = new Batches(options.batch);
    this.#finished = this.#run();
  }

  /** Why nothing can be stored at the moment. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  take(delivery: Delivery): void {
    this.#held.add(delivery);
    try {
      const { events, unreadable } = readMessage(delivery.data, delivery.subject);
      if (unreadable.length === 0) this.#batches.add({ delivery, events }, events.length);
      else void this.#takeRest(delivery, events, unreadable);
    } catch (error) {
      if (!(error instanceof Poison)) throw error;
      void this.#bury(delivery, [{ dead: delivery, reason: error.message }]);
    }
  }

  /** The message is acknowledged when all of it is kept, here or there. */
  async #takeRest(
    delivery: Delivery,
    events: readonly ReadEvent[],
    unreadable: readonly { event: unknown; reason: string }[],
  ): Promise<void> {
    const burials = unreadable.map(({ event, reason }) => ({ dead: letterOf(delivery, event), reason }));
    if (events.length === 0) await this.#bury(delivery, burials);
    else if (await this.#keepAll(delivery, burials)) this.#batches.add({ delivery, events }, events.length);
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
        await this.#storeOrBury(batch);
        return this.#recovered();
      } catch (error) {
        this.#failed(error, batch.length);
        if (!this.#stopping.signal.aborted)
          await delay(retryMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
        if (this.#stopping.signal.aborted) return this.#giveBack(batch);
      }
    }
  }

  #failed(error: unknown, messages: number): void {
    const { metrics, log } = this.#options;
    metrics.failures.inc();
    this.#trouble = troubleOf(error);
    const told = { error: describeError(error), messages };
    if (!(error instanceof TrailBroken)) return log.warn(told, "events can't be stored now; they stay in the stream");
    metrics.broken.set(1);
    log.error(told, "the audit trail is not what was stored: nothing is added to it, events stay in the stream");
  }

  #recovered(): void {
    if (this.#trouble !== undefined) this.#options.log.info("events are stored again");
    this.#trouble = undefined;
    this.#options.metrics.broken.set(0);
  }

  async #storeOrBury(batch: readonly Held[]): Promise<void> {
    try {
      await this.#store(batch);
    } catch (error) {
      if (!(error instanceof Unstorable)) throw error;
      await this.#storeOneByOne(batch, error);
    }
  }

  async #store(batch: readonly Held[]): Promise<void> {
    const { events, metrics } = this.#options;
    const rows = batch.flatMap((held) => held.events.map(({ row }) => row));
    const stored = await events.store(rows);
    for (const { delivery } of batch) this.#done(delivery);
    metrics.batch.observe(rows.length);
    metrics.stored.inc(stored);
    metrics.repeated.inc(rows.length - stored);
  }

  async #storeOneByOne(batch: readonly Held[], refusal: Unstorable): Promise<void> {
    const [only] = batch;
    if (only === undefined) return;
    const { delivery, events } = only;
    const [event] = events;
    if (batch.length > 1) for (const held of batch) await this.#storeUntilDone([held]);
    else if (events.length > 1) await this.#storeEachEvent(delivery, events);
    else if (event !== undefined)
      await this.#bury(delivery, [{ dead: letterOf(delivery, event.event), reason: refusal.message }]);
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

  /** Of a message that the store refuses, each event that it takes is stored. @throws where the store is away */
  async #storeEachEvent(delivery: Delivery, events: readonly ReadEvent[]): Promise<void> {
    const { events: stored, metrics } = this.#options;
    const refused: Burial[] = [];
    for (const { row, event } of events) {
      try {
        metrics.stored.inc(await stored.store([row]));
      } catch (error) {
        if (!(error instanceof Unstorable)) throw error;
        refused.push({ dead: letterOf(delivery, event), reason: error.message });
      }
    }
    await this.#bury(delivery, refused);
  }

  async #bury(delivery: Delivery, burials: readonly Burial[]): Promise<void> {
    if (await this.#keepAll(delivery, burials)) this.#done(delivery);
  }

  /** Whether all of it is kept in AUDIT_DEAD; where not, the message comes again. */
  async #keepAll(delivery: Delivery, burials: readonly Burial[]): Promise<boolean> {
    const { log, metrics, keepDeadLetter } = this.#options;
    const { subject } = delivery;
    for (const { dead, reason } of burials) {
      try {
        await keepDeadLetter(dead, reason);
        metrics.deadLetters.inc();
        log.error({ subject, reason }, "an event can't be stored and went to AUDIT_DEAD");
      } catch (error) {
        this.#held.delete(delivery);
        delivery.nak(deadLetterRetryMs);
        log.error({ subject, reason, error: describeError(error) }, "an event can't be stored, nor kept in AUDIT_DEAD");
        return false;
      }
    }
    return true;
  }
}

interface Burial {
  readonly dead: DeadLetter;
  readonly reason: string;
}

function letterOf({ subject }: Delivery, event: unknown): DeadLetter {
  return { subject, data: encodeJson(event) };
}
