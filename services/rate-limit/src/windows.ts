/** One sliding window that a call has to pass. */
export interface Take {
  /** Names the window; the same key always comes with the same `windowMs`. */
  readonly key: string;
  /** Calls that may pass in any span of `windowMs`. */
  readonly limit: number;
  readonly windowMs: number;
}

export type Taken =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** Index of the take that will be free last. */
      readonly refusedBy: number;
      /** Whole seconds, at least one, until one call would pass that window. */
      readonly retryAfterSeconds: number;
    };

/**
 * Sliding windows: in no span of `windowMs`, wherever it begins, do more than `limit` calls pass.
 * A window is counted in `subWindows` parts; a part counts until its youngest possible moment is a whole window old, so up to
 * one part longer than needed, and never shorter.
 */
export interface Windows {
  /** Decides calls in order, all at one moment. A call passes where all its takes do; one that doesn't takes nothing. */
  take(calls: readonly (readonly Take[])[]): Promise<readonly Taken[]>;
}

/** Divides every whole number of seconds into whole milliseconds. */
export const subWindows = 50;
