import { hash, randomBytes } from "node:crypto";
import { canonicalJson } from "@sluice/json";
import type { NewEvent, Value } from "./event-row.ts";

const saltBytes = 32;

/** What stands behind a commitment of a log. */
export interface Subject {
  readonly log: string;
  readonly value: string;
  readonly commitment: Buffer;
  readonly salt: Buffer;
}

/** What is kept apart from an event that has a commitment to it. */
export interface Sealed<Kept> {
  readonly id: string;
  readonly salt: Buffer;
  readonly kept: Kept;
}

/** SHA-256(salt ‖ what is said). */
function commit(salt: Buffer, said: string | Buffer): Buffer {
  return hash("sha256", Buffer.concat([salt, Buffer.from(said)]), "buffer");
}

/** Puts commitments in the place of what events say of people and of content; within one transaction, under the locks of their logs. */
export class Sealing {
  readonly subjects: Subject[] = [];
  readonly captured: Sealed<string>[] = [];
  readonly contents: Sealed<Buffer>[] = [];
  readonly #commitments: Map<string, Buffer>;

  /** @param stored the commitments that are stored, by `subjectKey` */
  constructor(stored: Map<string, Buffer>) {
    this.#commitments = stored;
  }

  /** The columns that stand for what is sealed, in hex. */
  seal({ id, log, people, captured, content }: NewEvent): Record<string, Value> {
    const columns: Record<string, Value> = {};
    for (const [column, value] of Object.entries(people)) columns[column] = this.#person(log, value).toString("hex");
    if (captured !== undefined) columns["captured"] = this.#put(this.captured, id, canonicalJson(captured));
    if (content !== undefined) columns["content"] = this.#put(this.contents, id, content);
    return columns;
  }

  #person(log: string, value: string): Buffer {
    const key = subjectKey(log, value);
    const known = this.#commitments.get(key);
    if (known !== undefined) return known;
    const salt = randomBytes(saltBytes);
    const commitment = commit(salt, value);
    this.#commitments.set(key, commitment);
    this.subjects.push({ log, value, commitment, salt });
    return commitment;
  }

  #put<Kept extends string | Buffer>(all: Sealed<Kept>[], id: string, kept: Kept): string {
    const salt = randomBytes(saltBytes);
    all.push({ id, salt, kept });
    return commit(salt, kept).toString("hex");
  }
}

/** Names what a log says of somebody: neither part holds NUL. */
export function subjectKey(log: string, value: string): string {
  return `${log}\0${value}`;
}
