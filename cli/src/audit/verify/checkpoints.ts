import { BadNote, readCheckpoint, signatureOf, signersOf, type NoteKey, type SignedHead } from "./note.ts";
import type { Attestation } from "./entry.ts";
import type { Problems } from "./problem.ts";

/** A checkpoint as it was found somewhere. */
export interface Found {
  readonly note: string;
  /** In words, for who reads of it. */
  readonly from: string;
  /** What is said of the note beside it: it has to say the same. */
  readonly log?: string;
  readonly size?: number;
  readonly root?: string;
  readonly at?: number;
  /** It came with the events, and not from elsewhere. */
  readonly isOwn?: boolean;
}

export interface Signed extends Attestation {
  readonly from: string;
  /** Without a key nobody knows who signed it. */
  readonly isVerified: boolean;
  /** It came with the events, and not only from elsewhere. */
  readonly isOwn: boolean;
}

/** Checkpoints by log, after their signatures were checked; those that are not signed by a key that is known count for nothing. */
export class Checkpoints {
  readonly #byLog = new Map<string, Map<string, Signed>>();
  readonly #keys: readonly NoteKey[];
  readonly #problems: Problems;
  readonly #strangers = new Map<string, Set<string>>();
  /** Of all that were given, in good order or not. */
  count = 0;

  constructor(keys: readonly NoteKey[], problems: Problems) {
    this.#keys = keys;
    this.#problems = problems;
  }

  add(found: Found): void {
    this.count += 1;
    try {
      const head = readCheckpoint(found.note);
      const log = logOf(head);
      const root = head.root.toString("hex");
      const key = `${head.size}/${root}`;
      const known = this.#byLog.get(log) ?? new Map<string, Signed>();
      this.#byLog.set(log, known);
      if (known.has(key) && found.at === undefined) return;
      requireSame(found, log, head);
      if (!this.#isSigned(found, log, head)) return;
      const { size } = head;
      const isVerified = this.#keys.length > 0;
      known.set(key, {
        size,
        root: head.root,
        from: found.from,
        isVerified,
        isOwn: found.isOwn === true || known.get(key)?.isOwn === true,
        ...(found.at !== undefined && { at: found.at }),
      });
    } catch (error) {
      if (!(error instanceof BadNote)) throw error;
      const log = found.log === undefined ? {} : { log: found.log };
      this.#problems.add({
        kind: "checkpoint",
        ...log,
        text: `a checkpoint (${found.from}) counts for nothing: ${error.message}`,
      });
    }
  }

  /** The lowest size first. */
  of(log: string): Signed[] {
    return [...(this.#byLog.get(log)?.values() ?? [])].toSorted((one, other) => one.size - other.size);
  }

  /** Who signed checkpoints of the log and is none of the keys, as `<name>+<hash>`. */
  strangersOf(log: string): string[] {
    return [...(this.#strangers.get(log) ?? [])];
  }

  logs(): string[] {
    return [...this.#byLog.keys()];
  }

  #isSigned({ note, from }: Found, log: string, { size }: SignedHead): boolean {
    if (this.#keys.length === 0) return true;
    const signed = signatureOf(note, this.#keys);
    if (signed === "signed") return true;
    const what = `the checkpoint of size ${size} (${from})`;
    if (signed === "bad signature")
      this.#problems.add({ kind: "signature", log, text: `${what} is forged: its signature is not the key's` });
    else {
      const strangers = signersOf(note);
      this.#strangers.set(log, new Set([...this.strangersOf(log), ...strangers]));
      this.#problems.add({
        kind: "unknown-key",
        log,
        text: `${what} is signed by an unknown key (${strangers.join(", ")})`,
      });
    }
    return false;
  }
}

/** In words, such as `the one signed on 2026-11-21T10:00:00.000Z (audit_checkpoints)`. */
export function describe({ at, from }: Signed): string {
  return `${at === undefined ? "the one signed" : `the one signed on ${new Date(at).toISOString()}`} (${from})`;
}

/** The last part of the origin names the log. */
function logOf({ origin }: SignedHead): string {
  return origin.slice(origin.lastIndexOf("/") + 1);
}

function requireSame(found: Found, log: string, head: SignedHead): void {
  if (found.log !== undefined && found.log !== log)
    throw new BadNote(`it is said to be of the log ${found.log}, and its note is of ${head.origin}`);
  if (found.size !== undefined && found.size !== head.size)
    throw new BadNote(`its size is said to be ${found.size}, and its note says ${head.size}`);
  if (found.root !== undefined && found.root !== head.root.toString("hex"))
    throw new BadNote(`beside it stands another root than in its note (size ${head.size})`);
}
