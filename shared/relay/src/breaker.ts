import { Fault } from "@sluice/contracts";

export interface BreakerOptions {
  /** Failures in a row that open it; 0 keeps it closed for good. */
  readonly failures: number;
  /** How long no call is let through, and how long until the next probe, in milliseconds. */
  readonly openMs: number;
  /** Said to the caller who is turned away. */
  readonly refusal: string;
  readonly onChange: (open: boolean) => void;
  readonly now?: () => number;
}

/** One call's say about its upstream; only the first counts, and a call may end without any. */
export interface Attempt {
  succeeded(): void;
  failed(): void;
}

/**
 * Spares callers the wait for an upstream that does not answer, and the upstream the calls: after some failures in a
 * row calls are refused at once, but for one probe at a time. The first success closes it.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #now: () => number;
  #failures = 0;
  /** Changes with each opening and closing: failures of calls from before say nothing new. */
  #round = 0;
  /** Undefined while it is closed. */
  #nextProbeAt: number | undefined;

  constructor(options: BreakerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get open(): boolean {
    return this.#nextProbeAt !== undefined;
  }

  /** @throws Fault `upstream_unavailable` while nothing is let through. */
  requirePassage(): void {
    const waitMs = (this.#nextProbeAt ?? 0) - this.#now();
    if (waitMs <= 0) return;
    const details = { retryAfterSeconds: Math.ceil(waitMs / 1000) };
    throw new Fault("upstream_unavailable", this.#options.refusal, { details });
  }

  /** Lets a call through, as the probe where it is open. @throws Fault `upstream_unavailable`. */
  enter(): Attempt {
    this.requirePassage();
    // The next probe waits for its turn and not for this one's end: a call may rightly take very long.
    if (this.open) this.#nextProbeAt = this.#now() + this.#options.openMs;
    const round = this.#round;
    let said = false;
    const once = (say: () => void) => () => {
      if (said) return;
      said = true;
      say();
    };
    return { succeeded: once(() => this.#succeeded()), failed: once(() => this.#failed(round)) };
  }

  #succeeded(): void {
    this.#failures = 0;
    if (!this.open) return;
    this.#nextProbeAt = undefined;
    this.#changed();
  }

  #failed(round: number): void {
    const { failures, openMs } = this.#options;
    if (round !== this.#round || failures === 0) return;
    if (this.open) {
      this.#nextProbeAt = this.#now() + openMs;
      return;
    }
    this.#failures++;
    if (this.#failures < failures) return;
    this.#nextProbeAt = this.#now() + openMs;
    this.#changed();
  }

  #changed(): void {
    this.#failures = 0;
    this.#round++;
    this.#options.onChange(this.open);
  }
}
