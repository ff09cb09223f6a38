import type { Fault } from "@sluice/contracts";

export interface Token {
  readonly value: string;
  readonly lifetimeMs: number;
}

export interface TokenKeeperOptions {
  /** Asks for a token; gives up at the signal. */
  readonly fetch: (signal: AbortSignal) => Promise<Token>;
  /** What callers get when that failed; also where the reason is told to operators. */
  readonly failed: (error: unknown) => Fault;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

interface KeptToken {
  readonly value: string;
  readonly renewAt: number;
  readonly usableUntil: number;
}

const fetchTimeoutMs = 10_000;
const renewAfter = 0.8;
/** A token isn't shown in the last moments of its life: it has to arrive in time. */
const spareMs = 5_000;
const sparePart = 0.1;
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
/** An upstream that refuses every token makes for one token request in this time. */
const dropEveryMs = 10_000;

/**
 * One access token for all who need it: fetched once however many ask, renewed in the background at 80 % of its life,
 * and after a failure not asked for again before a pause that grows from 1 s to 30 s.
 */
export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  readonly #clock: () => number;
  #token: KeptToken | undefined;
  #fetching: Promise<string> | undefined;
  #failures = 0;
  #failure: Fault | undefined;
  #pauseUntil = 0;
  #droppedAt = Number.NEGATIVE_INFINITY;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** @throws Fault at once where fetching failed a moment ago */
  take(): string | Promise<string> {
    const now = this.#clock();
    const pausing = this.#failure !== undefined && now < this.#pauseUntil;
    if (this.#token !== undefined && now < this.#token.usableUntil) {
      if (now >= this.#token.renewAt && !pausing) this.#fetch().catch(() => {});
      return this.#token.value;
    }
    if (this.#fetching === undefined && pausing) throw this.#failure as Fault;
    return this.#fetch();
  }

  /** The token was refused by the one it is for; a newer one, fetched meanwhile, stays. */
  drop(value: string): void {
    const now = this.#clock();
    if (this.#token?.value !== value || now - this.#droppedAt < dropEveryMs) return;
    this.#token = undefined;
    this.#droppedAt = now;
  }

  #fetch(): Promise<string> {
    this.#fetching ??= this.#fetchAnew().finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #fetchAnew(): Promise<string> {
    const askedAt = this.#clock();
    try {
      const { value, lifetimeMs } = await this.#options.fetch(AbortSignal.timeout(fetchTimeoutMs));
      const usableMs = lifetimeMs - Math.min(spareMs, lifetimeMs * sparePart);
      this.#token = { value, renewAt: askedAt + lifetimeMs * renewAfter, usableUntil: askedAt + usableMs };
      this.#failures = 0;
      this.#failure = undefined;
      return value;
    } catch (error) {
      this.#failure = this.#options.failed(error);
      this.#pauseUntil = this.#clock() + Math.min(longestPauseMs, firstPauseMs * 2 ** this.#failures++);
      throw this.#failure;
    }
  }
}
