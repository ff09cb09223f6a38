import { chunkBytes, Fault, type ReplyHead } from "@sluice/contracts";
import type { Body } from "./body.ts";

/** An egress replica that a call is handed to before all others. */
export interface Owner {
  readonly instance: string;
  /** It alone can go on with the call; else it is only the best one. */
  readonly isNeeded: boolean;
}

/** Where a stream that any number may read goes on: that is to be asked for, or it was told with the task as it is. */
export type Elsewhere =
  { readonly kind: "moved" } | { readonly kind: "follow"; readonly head: ReplyHead; readonly snapshot: Buffer };

/** So that nothing but the body itself holds its bytes while they are sent. */
export function* takenFrom(body: Body): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += chunkBytes) yield body.bytes.subarray(at, at + chunkBytes);
}

/** Why egress gave no answer; egress has told the audit trail. */
export class ToldFault extends Fault {}

export function ownerGone(): Fault {
  return new Fault("session_not_found", "what this call goes on with is no longer there: begin anew");
}

/** The end of a call whose egress replica is gone. */
export function lostFault(): Fault {
  return new Fault(
    "upstream_failed",
    "the connection to the upstream was lost; whether the call took effect is unknown",
  );
}
