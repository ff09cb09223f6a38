import type { CountedWindow } from "@sluice/contracts";

/** One sliding window that a call has to pass. */
export interface Take {
  /** Names the window; the same key always comes with the same `windowMs`. */
  readonly key: string;
  /** Calls that may pass in any span of `windowMs`. */
  readonly limit: number;
  readonly windowMs: number;
}

export type Taken =
  | {
      readonly ok: true;
      /** Where the call and its lease were counted, unless that can't be taken back. */
      readonly windows?: readonly CountedWindow[];
      readonly lease?: Lease;
    }
  | {
      readonly ok: false;
      /** Index of the take that will be free last. */
      readonly refusedBy: number;
      /** Whole seconds, at least one, until one call would pass that window. */
      readonly retryAfterSeconds: number;
    };

/** More calls with the same takes, counted already. */
interface Lease {
  readonly calls: number;
  /** How long they may be used, from the moment of asking. */
  readonly ms: number;
}

/**
 * Sliding windows: in no span of `windowMs`, wherever it begins, do more than `limit` calls pass.
 * A window is counted in `subWindows` parts; a part counts until its youngest possible moment is a whole window old, so up to
 * one part longer than needed, and never shorter.
 */
export interface Windows {
  /** Decides calls in order, all at one moment. A call passes where all its takes do; one that doesn't takes nothing. */
  take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]>;
  /** Takes back calls that were counted and not carried out. */
  give(calls: number, windows: readonly CountedWindow[]): Promise<void>;
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
