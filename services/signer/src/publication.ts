import { setTimeout as delay } from "node:timers/promises";
import type { Checkpoint } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { SignerMetrics } from "./signer-metrics.ts";

/** Where checkpoints go. What was brought there before does no harm. */
export interface Destination {
  readonly name: string;
  /** Resolves once all of them are there for good. */
  deliver(checkpoints: readonly Checkpoint[]): Promise<void>;
}

export interface PublicationOptions {
  readonly destination: Destination;
  readonly metrics: SignerMetrics;
  readonly log: Log;
}

const firstRetryMs = 500;
const lastRetryMs = 30_000;
const mostAtOnce = 100;

/** Brings the newest checkpoint of each log to one destination. While that is away they wait, of each log the newest only. */
export class Publication {
  readonly name: string;
  readonly #options: PublicationOptions;
  readonly #waiting = new Map<string, Checkpoint>();
  readonly #offered = new Map<string, string>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #problem: string | undefined;

  constructor(options: PublicationOptions) {
    this.#options = options;
    this.name = options.destination.name;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Why it could not be delivered last. */
  get problem(): string | undefined {
    return this.#problem;
  }

  offer(checkpoint: Checkpoint): void {
    if (this.#offered.get(checkpoint.log) === checkpoint.note) return;
    this.#offered.set(checkpoint.log, checkpoint.note);
    this.#waiting.set(checkpoint.log, checkpoint);
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Waits for what is under way; what fails is left. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { destination, metrics, log } = this.#options;
    for (let retryMs = firstRetryMs; this.#waiting.size > 0;) {
      const batch = [...this.#waiting.values()].slice(0, mostAtOnce);
      try {
        await destination.deliver(batch);
        for (const one of batch) if (this.#waiting.get(one.log) === one) this.#waiting.delete(one.log);
        metrics.published.inc({ destination: this.name }, batch.length);
        this.#problem = undefined;
        retryMs = firstRetryMs;
      } catch (error) {
        metrics.publishFailures.inc({ destination: this.name });
        if (this.#problem === undefined)
          log.warn({ destination: this.name, error: describeError(error) }, "checkpoints can't be published there now");
        this.#problem = error instanceof Error ? error.message : "unknown";
        if (this.#stopping.signal.aborted) return;
        await delay(retryMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
        if (this.#stopping.signal.aborted) return;
        retryMs = Math.min(lastRetryMs, retryMs * 2);
      }
    }
  }
}
