import type { Counted, CountedWindow, Slot } from "@sluice/contracts";

/** What a call has to pass: a window, or a place among the calls in flight. */
export type Take = WindowTake | SlotTake;

/** One sliding window. */
export interface WindowTake {
  /** Names the window; the same key always comes with the same `windowMs`. */
  readonly key: string;
  /** Calls that may pass in any span of `windowMs`. */
  readonly limit: number;
  readonly windowMs: number;
  /**
   * Calls per `windowMs` that may pass for good, where that is less than `limit`: in any span of T ms no more than
   * `limit` + T * `sustained` / `windowMs` pass.
   */
  readonly sustained?: number;
  /** The window counts only where the one taken before it is new: it bounds how many there are. */
  readonly ifNew?: boolean;
}

/** Calls in flight. */
export interface SlotTake {
  readonly key: string;
  /** Names the call; the same in all slots of one call. */
  readonly slot: string;
  readonly maxConcurrent: number;
}

export function isSlot(take: Take): take is SlotTake {
  return "slot" in take;
}

export type Taken =
  | {
      readonly ok: true;
      /** Where the call and its lease were counted. */
      readonly counted: Omit<Counted, "by">;
      readonly lease?: Lease;
      /** Per take, how many more calls would pass it after all that were decided together. */
      readonly left: readonly number[];
      /** Counted in this process alone. */
      readonly isLocal?: boolean;
    }
  | {
      readonly ok: false;
      /** Index of the take that will be free last. */
      readonly refusedBy: number;
      /** Whole seconds, at least one, until one call would pass; where calls in flight refuse, that can't be known. */
      readonly retryAfterSeconds: number;
    };

/** More calls with the same takes, counted already. */
interface Lease {
  readonly calls: number;
  /** How long they may be used, from the moment of asking. */
  readonly ms: number;
}

/**
 * Sliding windows: in no span of `windowMs`, wherever it begins, do more than `limit` calls pass. Slots: at no moment are more
 * than `maxConcurrent` calls in flight, as far as those who carry them say in time that they are.
 * A window is counted in `subWindows` parts; a part counts until its youngest possible moment is a whole window old, so up to
 * one part longer than needed, and never shorter.
 */
export interface Windows {
  /** Decides calls in order, all at one moment. A call passes where all its takes do; one that doesn't takes nothing. */
  take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]>;
  /** Takes back calls that were counted and not carried out. */
  give(calls: number, windows: readonly CountedWindow[]): Promise<void>;
  /** These calls are in flight still: they have their slots for another `slotLifeMs`, also where those were lost. */
  hold(slots: readonly Slot[]): Promise<void>;
  /** These calls are over. */
  end(slots: readonly Slot[]): Promise<void>;
}

/**
 * Leases are for busy windows far from their limit: below it, the last half is counted call by call. They end with the part
 * of the window that they are counted in, so that no call passes later than it counts.
 */
export const leasing = {
  /** Smaller limits and shorter parts are never leased from. */
  minLimit: 1_000,
  minPartMs: 200,
  /** Calls in the same part before the first lease; no lease is larger than what was used in the part so far. */
  minUsed: 4,
  /** Of the limit. */
  maxShare: 0.01,
  maxCalls: 256,
  maxMs: 1_000,
} as const;

/** Divides every whole number of seconds into whole milliseconds. */
export const subWindows = 50;

/** When a call may end that is in flight nobody knows; a client that comes back so soon does no harm. */
export const slotWaitMs = 1_000;
