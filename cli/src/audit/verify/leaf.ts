import { hash } from "node:crypto";
import { personalColumns, type TrailEntry } from "@sluice/contracts";
import canonicalize from "canonicalize";
import { leafHashOf } from "./merkle.ts";

/** Columns whose place in the record is taken by a commitment. */
export const sealedColumns: ReadonlySet<string> = new Set([...personalColumns, "captured", "content"]);

type Event = TrailEntry["event"];

/** SHA-256 of salt and what it hides: the UTF-8 of a personal value, canonical JSON of captured fields, bytes of content. */
export function commitmentOf(column: string, said: unknown, salt: Uint8Array): Buffer {
  return hash("sha256", Buffer.concat([salt, bytesOf(column, said)]), "buffer");
}

function bytesOf(column: string, said: unknown): Uint8Array {
  if (column === "captured") return Buffer.from(canonical(said));
  if (typeof said !== "string") throw new Malformed(`${column} is not text`);
  return Buffer.from(said, column === "content" ? "base64" : "utf8");
}

/** The event can't be one that was stored. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** The hash of an event's leaf (docs/adr/0010-audit-trail.md, "Leaf"), of its record with commitments in hex. @throws Malformed */
export function recordHash(record: Event): Buffer {
  return leafHashOf(canonical(record));
}

/** The same of what compliance gets. @throws Malformed */
export function entryHash({ event, sealed }: Pick<TrailEntry, "event" | "sealed">): Buffer {
  const record: Record<string, unknown> = { ...event };
  for (const column of sealedColumns)
    if (column in event && !Object.hasOwn(sealed, column)) throw new Malformed(`${column} has no salt`);
  for (const [column, seal] of Object.entries(sealed)) {
    if (!sealedColumns.has(column)) throw new Malformed(`${column} can't be sealed`);
    record[column] = "salt" in seal ? opened(column, event, seal.salt) : hexOf(column, seal.commitment);
    if (!("salt" in seal) && column in event) throw new Malformed(`${column} is there and said to be erased`);
  }
  return recordHash(record);
}

function opened(column: string, event: Event, salt: string): string {
  if (!(column in event)) throw new Malformed(`${column} has a salt and no value`);
  return commitmentOf(column, event[column], Buffer.from(hexOf(column, salt), "hex")).toString("hex");
}

function hexOf(column: string, text: unknown): string {
  if (typeof text !== "string" || !/^[0-9a-f]{64}$/.test(text))
    throw new Malformed(`${column} is sealed with no 32 bytes in hex`);
  return text;
}

/** RFC 8785. */
function canonical(value: unknown): string {
  try {
    const text = canonicalize(value);
    if (text !== undefined) return text;
  } catch (error) {
    throw new Malformed(`it has no canonical form: ${(error as Error).message}`, { cause: error });
  }
  throw new Malformed("it is no JSON");
}
