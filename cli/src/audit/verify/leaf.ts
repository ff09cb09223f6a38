import { hash } from "node:crypto";
import { personalColumns, type TrailEntry } from "@sluice/contracts";
import canonicalize from "canonicalize";
import { leafHashOf } from "./merkle.ts";

/** Columns whose place in the record is taken by a commitment. */
export const sealedColumns: ReadonlySet<string> = new Set([...personalColumns, "captured", "content"]);

const personal: ReadonlySet<string> = new Set(personalColumns);

type Event = TrailEntry["event"];

/** SHA-256 of salt and what it hides: the UTF-8 of a personal value, canonical JSON of captured fields, bytes of content. */
export function commitmentOf(column: string, said: unknown, salt: Uint8Array): Buffer {
  return hash("sha256", Buffer.concat([salt, bytesOf(column, said)]), "buffer");
}

function bytesOf(column: string, said: unknown): Uint8Array {
  if (column === "captured") return Buffer.from(canonical(said));
  if (typeof said !== "string" || !said.isWellFormed()) throw new Malformed(`${column} is not text`);
  const bytes = Buffer.from(said, column === "content" ? "base64" : "utf8");
  // Node reads more than Base64 as Base64, which others would read in another way.
  if (column === "content" && bytes.toString("base64") !== said) throw new Malformed("content is not Base64");
  return bytes;
}

/** The event can't be one that was stored. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** The hash of an event's leaf (docs/adr/0010-audit-trail.md, "Leaf"), of its record with commitments in hex. @throws Malformed */
export function recordHash(record: Event): Buffer {
  return leafHashOf(canonical(record));
}

/** What compliance gets of an event; what is sealed is not known to be so yet. */
export interface Entry {
  readonly event: Event;
  readonly sealed: Readonly<Record<string, unknown>>;
}

/** The same of what compliance gets. @throws Malformed */
export function entryHash({ event, sealed }: Entry): Buffer {
  const record: Record<string, unknown> = { ...event };
  for (const column of sealedColumns)
    if (column in event && !Object.hasOwn(sealed, column)) throw new Malformed(`${column} has no salt`);
  for (const [column, seal] of Object.entries(sealed)) {
    if (!sealedColumns.has(column)) throw new Malformed(`${column} can't be sealed`);
    record[column] = sealedAs(column, event, seal);
  }
  return recordHash(record);
}

function sealedAs(column: string, event: Event, seal: unknown): string {
  const [[word, text] = [], ...others] = Object.entries(seal ?? {}) as [string, unknown][];
  const isErased = word === "commitment";
  if (others.length > 0 || (word !== "salt" && !isErased))
    throw new Malformed(`${column} has neither salt nor commitment`);
  if (Object.hasOwn(event, column) === isErased)
    throw new Malformed(isErased ? `${column} is there and said to be erased` : `${column} has a salt and no value`);
  const hex = hexOf(column, text);
  if (isErased) return hex;
  const said = event[column];
  return typeof said === "string" && personal.has(column) ? openedOnce(hex, said) : opened(column, hex, said);
}

function opened(column: string, salt: string, said: unknown): string {
  return commitmentOf(column, said, Buffer.from(salt, "hex")).toString("hex");
}

const mostHeld = 10_000;
const held = new Map<string, string>();

/** Events of one log share what they say of people, salt and all. */
function openedOnce(salt: string, said: string): string {
  const key = `${salt}${said}`;
  const known = held.get(key);
  if (known !== undefined) return known;
  if (held.size >= mostHeld) held.clear();
  const commitment = opened("agent_id", salt, said);
  held.set(key, commitment);
  return commitment;
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
