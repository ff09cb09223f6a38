import type { CountedWindow, Slot } from "@sluice/contracts";
import { isSlot, type Take, type Taken, type Windows } from "./windows.ts";

export interface FallbackOptions {
  readonly shared: Windows;
  readonly local: Windows & { slots(): readonly Slot[] };
  /** Replicas that live, this one included. */
  readonly replicas: () => number;
  readonly onChange: (state: FallbackState) => void;
  /** How often it is tried whether the shared windows answer again. */
  readonly probeEveryMs?: number;
}

export interface FallbackState {
  readonly local: boolean;
  /** Why the shared windows are not used. */
  readonly reason?: string;
}

/** Written to, so that a Redis which answers but takes no writes is not mistaken for a good one. */
const probe: Take = { key: "gw:rl:probe", limit: 1_000_000_000, windowMs: 1_000 };

/** Asks the shared windows; while they don't answer, this replica grants its share of each limit from its own. */
export class FallbackWindows implements Windows, Disposable {
  readonly #options: FallbackOptions;
  #isLocal = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: FallbackOptions) {
    this.#options = options;
  }

  get isLocal(): boolean {
    return this.#isLocal;
  }

  async take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]> {
    if (!this.#isLocal) {
      try {
        return await this.#options.shared.take(calls);
      } catch (error) {
        this.#leave(error);
      }
    }
    const replicas = Math.max(1, this.#options.replicas());
    return this.#options.local.take(calls.map((takes) => takes.map((take) => shareOf(take, replicas))));
  }

  /** What was counted in Redis and cannot be taken back there stays counted; what was counted here is known here alone. */
  async give(calls: number, windows: readonly CountedWindow[]): Promise<void> {
    await this.#options.local.give(calls, windows);
    if (!this.#isLocal) await this.#options.shared.give(calls, windows);
  }

  /** Calls that began while Redis was there take part of this replica's share, and those of a share go on in Redis. */
  async hold(slots: readonly Slot[]): Promise<void> {
    await (this.#isLocal ? this.#options.local : this.#options.shared).hold(slots);
  }

  async end(slots: readonly Slot[]): Promise<void> {
    await this.#options.local.end(slots);
    if (!this.#isLocal) await this.#options.shared.end(slots);
  }

  #leave(error: unknown): void {
    if (this.#isLocal) return;
    this.#isLocal = true;
    this.#options.onChange({ local: true, reason: error instanceof Error ? error.message : String(error) });
    this.#probeLater();
  }

  #probeLater(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#probe(), this.#options.probeEveryMs ?? 250);
  }

  async #probe(): Promise<void> {
    try {
      await this.#options.shared.take([[probe]]);
      await this.#options.shared.hold(this.#options.local.slots());
    } catch {
      return this.#probeLater();
    }
    this.#isLocal = false;
    this.#options.onChange({ local: false });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/** At least one call, unless the limit itself is none. */
function shareOf(take: Take, replicas: number): Take {
  const share = (limit: number) => (limit === 0 ? 0 : Math.max(1, Math.floor(limit / replicas)));
  if (isSlot(take)) return { ...take, maxConcurrent: share(take.maxConcurrent) };
  return {
    ...take,
    limit: share(take.limit),
    ...(take.sustained !== undefined && { sustained: share(take.sustained) }),
  };
}
