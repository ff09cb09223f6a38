/** What the suite and its agents speak of, whatever a revision and a binding call it. */

/** States as 0.3 spells them; `rejected` and `auth-required` are no words of 0.1. */
export type State =
  "submitted" | "working" | "input-required" | "auth-required" | "completed" | "canceled" | "failed" | "rejected";

/** A part of a message or an artifact; `raw` is base64. */
export type Piece =
  | { readonly text: string }
  | { readonly raw: string; readonly mediaType?: string; readonly filename?: string }
  | { readonly url: string; readonly mediaType?: string; readonly filename?: string }
  | { readonly data: unknown };

/** One thing that an agent does while it works on a message. */
export type Happening =
  | { readonly is: "message"; readonly pieces: readonly Piece[] }
  | { readonly is: "task" }
  | { readonly is: "status"; readonly state: State; readonly text?: string }
  | {
      readonly is: "artifact";
      readonly id: string;
      readonly pieces: readonly Piece[];
      readonly append?: boolean;
      readonly last?: boolean;
    };

/** What an agent is asked. */
export interface Turn {
  readonly task: string;
  readonly context: string;
  readonly isFollowUp: boolean;
  readonly messageId: string;
  readonly pieces: readonly Piece[];
  readonly references: readonly string[];
}

export const isOver = (state: State): boolean =>
  state === "completed" || state === "canceled" || state === "failed" || state === "rejected";

/** A stream of events ends here, for a while or for good. */
export const endsStream = (state: State): boolean =>
  isOver(state) || state === "input-required" || state === "auth-required";
