import type { TrailEntry } from "@sluice/contracts";
import { entryHash, Malformed } from "./leaf.ts";
import { proofOf, rootOfProof, Tree, type Place } from "./merkle.ts";
import { BadNote, readCheckpoint, signatureOf, type NoteKey } from "./note.ts";
import type { TrailSnapshot } from "./trail-database.ts";

const header = "c2sp.org/tlog-proof@v1";
const tileWidth = 256;
const tileHeight = 8;
const hashBytes = 32;

/** The proof that an event is in the tree of a checkpoint; its entry is the extra data (c2sp.org/tlog-proof). */
export function writeProof(entry: TrailEntry, proof: readonly Buffer[], note: string): string {
  const extra = Buffer.from(JSON.stringify(entry)).toString("base64");
  return [
    header,
    `extra ${extra}`,
    `index ${entry.index}`,
    ...proof.map((hash) => hash.toString("base64")),
    "",
    note,
  ].join("\n");
}

/** The proof that a leaf is in a log's tree as it was at a size, of the tiles and leaves that are stored. */
export function storedProof(snapshot: TrailSnapshot, log: string, place: Place): Promise<Buffer[]> {
  return proofOf(place, async (height, index) => {
    const level = Math.floor(height / tileHeight);
    const count = 2 ** (height % tileHeight);
    return foldOf(await nodes(snapshot, log, { level, from: index * count, count }));
  });
}

interface Nodes {
  readonly level: number;
  readonly from: number;
  /** At most 256, of one tile. */
  readonly count: number;
}

async function nodes(snapshot: TrailSnapshot, log: string, { level, from, count }: Nodes): Promise<Buffer[]> {
  const tile = await tileOf(snapshot, log, [level, Math.floor(from / tileWidth)]);
  const at = from % tileWidth;
  if (tile !== undefined) return tile.slice(at, at + count);
  if (level === 0) return leaves(snapshot, log, [from, from + count]);
  return Promise.all(
    Array.from({ length: count }, async (_, one) => {
      const below = await tileOf(snapshot, log, [level - 1, from + one]);
      if (below === undefined) throw new Error(`the tree of ${log} has no tile ${from + one} of level ${level - 1}`);
      return foldOf(below);
    }),
  );
}

async function tileOf(
  snapshot: TrailSnapshot,
  log: string,
  [level, index]: readonly [number, number],
): Promise<Buffer[] | undefined> {
  const text = "select hashes from audit_tiles where log = $1 and level = $2 and tile_index = $3";
  const [row] = await snapshot.all(text, [log, level, index]);
  if (row === undefined) return undefined;
  const hashes = Buffer.from(row["hashes"] as string, "hex");
  return Array.from({ length: tileWidth }, (_, at) => hashes.subarray(at * hashBytes, (at + 1) * hashBytes));
}

async function leaves(snapshot: TrailSnapshot, log: string, [from, to]: readonly [number, number]): Promise<Buffer[]> {
  const text =
    "select leaf_hash from audit_events where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index";
  const rows = await snapshot.all(text, [log, from, to]);
  if (rows.length !== to - from)
    throw new Error(`events ${from}–${to - 1} of ${log} are not all there: sluice audit verify says which`);
  return rows.map((row) => Buffer.from(row["leaf_hash"] as string, "hex"));
}

function foldOf(hashes: readonly Buffer[]): Buffer {
  const tree = new Tree();
  for (const hash of hashes) tree.append(hash);
  return tree.root();
}

/** What one proof shows. */
export interface Proven {
  readonly ok: boolean;
  readonly event: string;
  readonly log: string;
  readonly index: number;
  /** Of the tree that was signed. */
  readonly size: number;
  /** Without a key nobody knows who signed it. */
  readonly shown: "signed" | "consistent";
  /** Why it is no proof. */
  readonly fault?: string;
  readonly entry: TrailEntry;
}

/** A file may hold several proofs, one behind the other. @throws BadNote where it holds none */
export function readProofs(text: string, keys: readonly NoteKey[]): Proven[] {
  const [before, ...proofs] = `\n${text}`.split(`\n${header}\n`);
  if (before?.trim() !== "" || proofs.length === 0) throw new BadNote(`it does not begin with ${header}`);
  return proofs.map((proof) => readProof(proof.endsWith("\n") ? proof : `${proof}\n`, keys));
}

function readProof(text: string, keys: readonly NoteKey[]): Proven {
  const end = text.indexOf("\n\n");
  const [extra = "", index = "", ...hashes] = text.slice(0, end).split("\n");
  const place = /^index (0|[1-9]\d{0,15})$/.exec(index)?.[1];
  if (end === -1 || !extra.startsWith("extra ") || place === undefined)
    throw new BadNote("it is no proof of an event: extra data, index and proof are not its first lines");
  const note = text.slice(end + 2);
  const entry = entryIn(extra.slice("extra ".length));
  const head = readCheckpoint(note);
  const proof = hashes.map((hash) => Buffer.from(hash, "base64"));
  const fault = faultOf({ entry, index: Number(place), proof, note, keys });
  return {
    ok: fault === undefined,
    event: String(entry.event["event_id"]),
    log: entry.log,
    index: Number(place),
    size: head.size,
    shown: keys.length > 0 ? "signed" : "consistent",
    ...(fault !== undefined && { fault }),
    entry,
  };
}

function entryIn(extra: string): TrailEntry {
  try {
    const entry = JSON.parse(Buffer.from(extra, "base64").toString()) as Partial<TrailEntry>;
    if (typeof entry.log === "string" && typeof entry.event === "object" && typeof entry.sealed === "object")
      return entry as TrailEntry;
  } catch {}
  throw new BadNote("its extra data is no entry of the trail");
}

interface Claim {
  readonly entry: TrailEntry;
  readonly index: number;
  readonly proof: readonly Buffer[];
  readonly note: string;
  readonly keys: readonly NoteKey[];
}

function faultOf({ entry, index, proof, note, keys }: Claim): string | undefined {
  const { origin, size, root } = readCheckpoint(note);
  if (keys.length > 0) {
    const signed = signatureOf(note, keys);
    if (signed !== "signed")
      return signed === "bad signature" ? "its checkpoint is forged" : "an unknown key signed its checkpoint";
  }
  if (
    entry.log !== entry.event["log"] ||
    origin.slice(origin.lastIndexOf("/") + 1) !== entry.log ||
    entry.index !== index
  )
    return "entry and checkpoint are not of one log and place";
  try {
    const found = rootOfProof({ index, size }, entryHash(entry), proof);
    return found?.equals(root) === true ? undefined : "the event is not the one in that tree";
  } catch (error) {
    if (error instanceof Malformed) return `the event can't be read: ${error.message}`;
    throw error;
  }
}
