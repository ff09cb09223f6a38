import type { Checkpoint } from "@sluice/contracts";
import { openNote, type NoteSigner } from "./note.ts";

/** A tree of a log as it is said to be: RFC 9162 root over its first `size` leaves. */
export interface Head {
  readonly log: string;
  readonly size: number;
  readonly root: Buffer;
}

/** The three lines of c2sp.org/tlog-checkpoint. */
function textOf(origin: string, { log, size, root }: Head): string {
  return `${origin}/${log}\n${size}\n${root.toString("base64")}\n`;
}

/** @param at Unix milliseconds */
export function signCheckpoint(signer: NoteSigner, { origin, head, at }: Signing): Checkpoint {
  const { log, size, root } = head;
  return { log, size, root: root.toString("hex"), at, note: signer.sign(textOf(origin, head)) };
}

export interface Signing {
  readonly origin: string;
  readonly head: Head;
  readonly at: number;
}

/** Whether the note is of this key and says just what stands beside it. */
export function isGenuine({ log, size, root, note }: Checkpoint, origin: string, verifierKey: string): boolean {
  return openNote(note, verifierKey) === textOf(origin, { log, size, root: Buffer.from(root, "hex") });
}
