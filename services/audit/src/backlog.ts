import { stateOf, type Bus, type StreamState } from "@sluice/bus";
import { streams } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import type { AuditMetrics } from "./audit-metrics.ts";

export interface BacklogOptions {
  readonly bus: Bus;
  readonly metrics: AuditMetrics;
  readonly log: Log;
}

/** From here on operators are told: at 1 calls are refused. */
const alarming = 0.8;
/** It has to fall below this before it is told again. */
const calm = 0.7;

/** What waits in the AUDIT stream, against its bound, and what lies among the dead letters. */
export class Backlog {
  readonly #options: BacklogOptions;
  #stream: StreamState | undefined;
  #deadLetters = 0;
  #alarmed = false;

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** @returns the AUDIT stream as it is now; undefined where that can't be known */
  async look(): Promise<StreamState | undefined> {
    const { bus, metrics } = this.#options;
    this.#stream = await stateOf(bus, streams.audit.name).catch(() => undefined);
    this.#deadLetters = await stateOf(bus, streams.dead.name).then(
      ({ messages }) => messages,
      () => this.#deadLetters,
    );
    metrics.deadLettersKept.set(this.#deadLetters);
    if (this.#stream === undefined) return undefined;
    metrics.fill.set(this.#fill);
    metrics.oldest.set(this.#oldestMs / 1_000);
    this.#alarm();
    return this.#stream;
  }

  /** For `/health`. */
  get told(): Record<string, unknown> {
    return {
      backlog_percent: Math.round(this.#fill * 1_000) / 10,
      backlog_oldest_seconds: Math.round(this.#oldestMs / 1_000),
      dead_letters: this.#deadLetters,
    };
  }

  get problems(): string[] {
    const fill = `the AUDIT stream is ${Math.round(this.#fill * 100)} % full: when it is full, calls are refused`;
    const dead = `${this.#deadLetters} events could not be stored: they lie in the stream ${streams.dead.name} with the reasons`;
    return [...(this.#alarmed ? [fill] : []), ...(this.#deadLetters > 0 ? [dead] : [])];
  }

  get #fill(): number {
    const { bytes = 0, maxBytes = -1 } = this.#stream ?? {};
    return maxBytes > 0 ? bytes / maxBytes : 0;
  }

  get #oldestMs(): number {
    const at = this.#stream?.oldestAt;
    return at === undefined ? 0 : Math.max(0, Date.now() - at);
  }

  #alarm(): void {
    const fill = this.#fill;
    if (fill < calm) this.#alarmed = false;
    if (fill < alarming || this.#alarmed) return;
    this.#alarmed = true;
    this.#options.log.warn(
      { percent: Math.round(fill * 100), oldestSeconds: Math.round(this.#oldestMs / 1_000) },
      "the AUDIT stream fills up: when it is full, calls are refused. Is Postgres away, or too slow?",
    );
  }
}
