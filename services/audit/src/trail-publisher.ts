import { setTimeout as delay } from "node:timers/promises";
import type { ChainedPublisher } from "@sluice/bus";
import { decodeJson, encodeJson, subjects, type TrailEntry } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { TrailMetrics } from "./trail-metrics.ts";
import type { Places } from "./log-places.ts";
import type { TrailPlaces } from "./trail-places.ts";

export interface TrailOptions {
  readonly places: TrailPlaces;
  /** To the TRAIL stream. */
  readonly publisher: ChainedPublisher;
  readonly metrics: TrailMetrics;
  readonly log: Log;
}

const lockKey = 7_583_231;
/** How often it is looked for what other replicas stored. */
const pollMs = 400;
const retryMs = 500;
const keepCursorsEveryMs = 1_000;
const windowEntries = 256;
const windowBytes = 4 * 1024 * 1024;

/**
 * Brings stored events to the TRAIL stream, each once and in the order of its log; of all replicas one does. Where it has got to
 * says the last message of the log's subject, so that nothing needs to be kept right; `audit_cursors` counts only where the
 * stream has nothing of the log any more.
 */
export class TrailPublisher {
  readonly #options: TrailOptions;
  readonly #stopping = new AbortController();
  readonly #finished: Promise<void>;
  /** The index that each log goes on with, as far as it is known. */
  readonly #next = new Map<string, number>();
  readonly #unkept = new Map<string, number>();
  #cursorsKeptAt = 0;
  #entryBytes = 1_024;
  #stored = new Map<string, number>();
  #wake: () => void = () => {};
  /** Whether this is the replica that does it. */
  active = false;

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#finished = this.#run();
  }

  /** Tells what this replica has stored: how many events a log has now. */
  stored(log: string, size: number): void {
    this.#stored.set(log, size);
    if (this.active) this.#wake();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#finished;
  }

  async #run(): Promise<void> {
    const { places, log } = this.#options;
    while (!this.#stopped) {
      try {
        await places.alone(lockKey, () => this.#publishUntilStopped());
      } catch (error) {
        log.warn({ error: describeError(error) }, "stored events can't be published now; they will be later");
      }
      this.active = false;
      if (!this.#stopped) await delay(retryMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #publishUntilStopped(): Promise<void> {
    const { places, publisher } = this.#options;
    await publisher.begin();
    this.#next.clear();
    this.active = true;
    let polledAt = -pollMs;
    while (!this.#stopped) {
      const isDue = performance.now() - polledAt >= pollMs;
      if (isDue) polledAt = performance.now();
      const told = this.#stored;
      this.#stored = new Map();
      await this.#publishAll(isDue ? await places.sizes() : told);
      await this.#keepCursors(false);
      if (this.#stored.size === 0) await this.#rest(polledAt + pollMs - performance.now());
    }
    await this.#keepCursors(true);
  }

  /** A part of each log in turn, so that none waits for a long one. */
  async #publishAll(sizes: Places): Promise<void> {
    let waiting = [...sizes];
    while (waiting.length > 0 && !this.#stopped) {
      const unfinished: typeof waiting = [];
      for (const [log, size] of waiting) if (await this.#publishSome(log, size)) unfinished.push([log, size]);
      waiting = unfinished;
    }
  }

  /** Whether there is more of it. @throws where it is to begin anew */
  async #publishSome(log: string, size: number): Promise<boolean> {
    const { places, metrics } = this.#options;
    const next = this.#next.get(log) ?? (await this.#place(log));
    this.#next.set(log, next);
    if (next >= size || this.#stopped) return false;
    const limit = Math.max(1, Math.min(windowEntries, Math.floor(windowBytes / this.#entryBytes)));
    const entries = await places.entries(log, next, limit);
    const last = entries.at(-1);
    if (last === undefined) return false;
    const messages = await Promise.all(entries.map((entry) => this.#messageOf(entry)));
    this.#entryBytes = Math.max(...messages.map(({ length }) => length));
    const published = await Promise.allSettled(
      messages.map((message) => this.#options.publisher.publish(subjects.trail(log), message)),
    );
    const failed = published.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    metrics.published.inc(entries.length);
    this.#next.set(log, last.index + 1);
    this.#unkept.set(log, last.index + 1);
    return last.index + 1 < size;
  }

  async #place(log: string): Promise<number> {
    const message = await this.#options.publisher.lastOf(subjects.trail(log));
    if (message !== undefined) return decodeJson<TrailEntry>(message).index + 1;
    return this.#options.places.cursor(log);
  }

  /** Where NATS carries no message of that length, what was captured stays in the database alone. */
  async #messageOf(entry: TrailEntry): Promise<Uint8Array> {
    const { places, publisher } = this.#options;
    const whole = encodeJson(entry);
    if (whole.length <= publisher.room) return whole;
    return encodeJson((await places.entryWithoutCaptured(entry.log, entry.index)) ?? entry);
  }

  async #keepCursors(all: boolean): Promise<void> {
    const now = performance.now();
    if (this.#unkept.size === 0 || (!all && now - this.#cursorsKeptAt < keepCursorsEveryMs)) return;
    this.#cursorsKeptAt = now;
    await this.#options.places.keepCursors(this.#unkept);
    this.#unkept.clear();
  }

  async #rest(ms: number): Promise<void> {
    if (ms <= 0 || this.#stopped) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
    this.#wake = () => {};
  }
}
