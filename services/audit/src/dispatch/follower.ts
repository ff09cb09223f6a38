import type { AuditRecord } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { Format } from "../formats/format.ts";
import type { RecordRange } from "../records.ts";
import type { Sink, Written } from "../sinks/sink.ts";
import { Delivery } from "./delivery.ts";
import type { DestinationMetrics } from "./metrics.ts";
import { BackOff, sleep, type Pauses } from "./pauses.ts";
import type { Head, Place, Target } from "./places.ts";
import { writtenOf } from "./written.ts";

/** Where records come from, and what is kept of a destination. */
export interface Trail {
  read(range: RecordRange): Promise<readonly AuditRecord[]>;
  move(place: Place): Promise<void>;
  /** Keeps what a destination refuses, with the reason. */
  bury(target: Target, record: { readonly text: string; readonly reason: string }): Promise<void>;
}

export interface FollowerOptions {
  readonly place: Place;
  readonly sink: Sink;
  readonly format: Format;
  readonly batchSize: number;
  readonly flushIntervalMs: number;
  readonly trail: Trail;
  readonly metrics: DestinationMetrics;
  readonly log: Log;
  readonly pauses: Pauses;
}

/** A body of many records that are large is cut. */
const mostBatchBytes = 4 * 1024 * 1024;
/** How long what is being sent may take when the service stops. */
const graceMs = 5_000;

/** Brings the records of one log to one destination, each after those before it, at least once. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #stopping = new AbortController();
  readonly #abandoning = new AbortController();
  readonly #delivery: Delivery;
  readonly #finished: Promise<void>;
  #next: number;
  #head: number;
  #waitingSince: Date | undefined;
  /** Since when there is something to send, by the monotonic clock. */
  #pendingAt = 0;
  /** What the head must be for another look before the time has come. */
  #enough: number;
  #wake: () => void = () => {};
  #problem: string | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#next = this.#head = options.place.next;
    this.#enough = this.#next + options.batchSize;
    this.#delivery = new Delivery({
      log: options.place.log,
      sink: options.sink,
      pauses: options.pauses,
      taken: (count, lastIndex) => this.#taken(count, lastIndex),
      bury: (record, reason) => this.#bury(record, reason),
      failed: (reason, isAway) => this.#failed(reason, isAway),
    });
    this.#finished = this.#run();
  }

  get place(): Place {
    return { ...this.#options.place, next: this.#next };
  }

  /** Why nothing can be sent at present. */
  get problem(): string | undefined {
    return this.#problem;
  }

  get lag(): { events: number; seconds: number } {
    const since = this.#head > this.#next ? this.#waitingSince : undefined;
    return {
      events: Math.max(0, this.#head - this.#next),
      seconds: since === undefined ? 0 : Math.max(0, (Date.now() - since.getTime()) / 1_000),
    };
  }

  /** The log is so long by now. */
  reach({ size, waitingSince }: Head): void {
    if (this.#head <= this.#next && size > this.#next) this.#pendingAt = performance.now();
    this.#head = Math.max(this.#head, size);
    this.#waitingSince = waitingSince;
    this.#wake();
  }

  /** Resolves when what is being sent is sent and its place kept, or some seconds have passed. */
  async stop(): Promise<void> {
    const abandoned = setTimeout(() => this.#abandoning.abort(), graceMs);
    this.#stopping.abort();
    this.#wake();
    await this.#finished;
    clearTimeout(abandoned);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const backOff = new BackOff(this.#options.pauses);
    while (!signal.aborted) {
      await this.#untilRipe();
      if (signal.aborted) return;
      try {
        await this.#sendSome();
        backOff.succeeded();
      } catch (error) {
        // Postgres is away: the destination is not to blame.
        this.#options.log.warn({ ...this.#title, error: describeError(error) }, "records can't be read now");
        await backOff.wait(signal);
      }
    }
  }

  get #title() {
    const { log, name } = this.#options.place;
    return { log, destination: name };
  }

  get #dueInMs(): number {
    return this.#pendingAt + this.#options.flushIntervalMs - performance.now();
  }

  async #untilRipe(): Promise<void> {
    for (;;) {
      if (this.#stopping.signal.aborted) return;
      const isPending = this.#head > this.#next;
      const dueInMs = this.#dueInMs;
      if (isPending && (this.#head >= this.#enough || dueInMs <= 0)) return;
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      if (isPending) await sleep(dueInMs, woken.signal);
      else await new Promise<void>((resolve) => woken.signal.addEventListener("abort", () => resolve()));
    }
  }

  async #sendSome(): Promise<void> {
    const { place, trail, batchSize } = this.#options;
    const to = this.#head;
    const isDue = this.#dueInMs <= 0;
    const records = await trail.read({ log: place.log, from: this.#next, to, limit: batchSize });
    if (records.length < batchSize && !isDue) {
      this.#enough = to + batchSize - records.length;
      return;
    }
    const batch = await this.#write(records);
    const isAll = batch.readAll && records.length < batchSize;
    const [first, ...rest] = batch.written;
    const isDone =
      first === undefined ||
      (await this.#delivery.deliver([first, ...rest], this.#stopping.signal, this.#abandoning.signal));
    if (isDone) await this.#move(isAll ? to : batch.end);
  }

  /** As many as fit into a body; what the format can't write is buried. */
  async #write(records: readonly AuditRecord[]) {
    const written: Written[] = [];
    let bytes = 0;
    let end = this.#next;
    for (const record of records) {
      const line = await this.#line(record);
      bytes += line === undefined ? 0 : Buffer.byteLength(line.text);
      if (written.length > 0 && bytes > mostBatchBytes) return { written, end, readAll: false };
      if (line !== undefined) written.push(line);
      end = record.index + 1;
    }
    return { written, end, readAll: true };
  }

  async #line(record: AuditRecord): Promise<Written | undefined> {
    try {
      return writtenOf(record, this.#options.format);
    } catch (error) {
      const reason = `it can't be written in this format: ${(error as Error).message}`;
      await this.#keepApart(JSON.stringify(record), reason);
      return undefined;
    }
  }

  async #taken(count: number, lastIndex: number): Promise<void> {
    const { metrics, log } = this.#options;
    if (count > 0) {
      metrics.sent.inc(this.#title, count);
      if (this.#problem !== undefined) log.info(this.#title, "the destination takes records again");
      this.#problem = undefined;
    }
    await this.#move(lastIndex + 1);
  }

  /** Kept until it is: that a destination has something twice is better than that a batch counts as failed. */
  async #move(next: number): Promise<void> {
    const { trail, place, pauses, log } = this.#options;
    const backOff = new BackOff(pauses);
    if (next <= this.#next) return;
    this.#next = next;
    this.#enough = next + this.#options.batchSize;
    this.#pendingAt = performance.now();
    for (;;) {
      try {
        return await trail.move({ ...place, next });
      } catch (error) {
        log.warn({ ...this.#title, error: describeError(error) }, "the place of a destination can't be kept now");
        await backOff.wait(this.#stopping.signal);
        if (this.#stopping.signal.aborted) return;
      }
    }
  }

  async #bury({ text }: Written, reason: string): Promise<void> {
    await this.#keepApart(text, `the destination refuses it: ${reason}`);
  }

  async #keepApart(text: string, reason: string): Promise<void> {
    const { trail, place, metrics, log } = this.#options;
    await trail.bury(place, { text, reason: `destination ${place.name}: ${reason}` });
    metrics.buried.inc(this.#title);
    log.error({ ...this.#title, reason }, "a record went to AUDIT_DEAD");
  }

  #failed(reason: string, isAway: boolean): void {
    const { metrics, log } = this.#options;
    metrics.failures.inc(this.#title);
    const isNews = this.#problem !== reason;
    if (isAway) this.#problem = reason;
    if (isNews) log.warn({ ...this.#title, reason }, isAway ? "the destination is away" : "the destination refuses");
  }
}
