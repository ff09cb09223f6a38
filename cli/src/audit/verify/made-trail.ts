// For tests: a trail as the gateway leaves it, by code that shares nothing with the verifier but this file's reader.
import { createHash, generateKeyPairSync, hash, randomBytes, sign, type KeyObject } from "node:crypto";
import type { Checkpoint } from "@sluice/contracts";
import { canonicalJson } from "@sluice/json";

type Columns = Record<string, unknown>;

/** A line of an export, to be changed by who attacks it. */
export interface MadeEntry {
  log: string;
  index: number;
  event: Columns;
  sealed: Record<string, { salt?: string; commitment?: string }>;
  hash: string;
}

/** Ed25519, as a signer has it. */
export interface MadeKey {
  readonly name: string;
  readonly vkey: string;
  readonly id: Buffer;
  readonly privateKey: KeyObject;
}

export function makeKey(name = "sluice.test/signer"): MadeKey {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const bytes = Buffer.concat([Buffer.of(1), publicKey.export({ type: "spki", format: "der" }).subarray(-32)]);
  const id = createHash("sha256").update(`${name}\n`).update(bytes).digest().subarray(0, 4);
  return { name, id, privateKey, vkey: `${name}+${id.toString("hex")}+${bytes.toString("base64")}` };
}

/** RFC 9162 §2.1.1, word by word. */
export function naiveRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return hash("sha256", "", "buffer");
  if (leaves.length === 1) return leaves[0] as Buffer;
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  const children = [naiveRoot(leaves.slice(0, half)), naiveRoot(leaves.slice(half))];
  return hash("sha256", Buffer.concat([Buffer.of(1), ...children]), "buffer");
}

export function signNote(text: string, key: MadeKey): string {
  const signature = Buffer.concat([key.id, sign(null, Buffer.from(text), key.privateKey)]);
  return `${text}\n\u2014 ${key.name} ${signature.toString("base64")}\n`;
}

export function checkpointOf(entries: readonly MadeEntry[], key: MadeKey, at = Date.UTC(2026, 10, 21)): Checkpoint {
  const log = (entries[0] as MadeEntry).log;
  const root = naiveRoot(entries.map((entry) => Buffer.from(entry.hash, "hex")));
  const text = `sluice.test/${log}\n${entries.length}\n${root.toString("base64")}\n`;
  return { log, size: entries.length, root: root.toString("hex"), at, note: signNote(text, key) };
}

/** The hash that the writer gives an entry. */
export function rehash(entry: MadeEntry): MadeEntry {
  const record: Columns = { ...entry.event };
  for (const [column, { salt, commitment }] of Object.entries(entry.sealed))
    record[column] = commitment ?? commit(column, entry.event[column], Buffer.from(salt as string, "hex"));
  return { ...entry, hash: createHash("sha256").update("\0").update(canonicalJson(record)).digest("hex") };
}

/** SHA-256 of the salt and what it hides. */
export function commit(column: string, said: unknown, salt: Buffer): string {
  const bytes =
    column === "captured"
      ? Buffer.from(canonicalJson(said))
      : Buffer.from(said as string, column === "content" ? "base64" : "utf8");
  return createHash("sha256").update(salt).update(bytes).digest("hex");
}

/** Each of its events is told by one emitter, which starts and stops. */
export function makeTrail(counts: Readonly<Record<string, number>>): Map<string, MadeEntry[]> {
  const trail = new Map<string, MadeEntry[]>(Object.keys(counts).map((log) => [log, []]));
  let seq = 0;
  const add = (log: string, columns: Columns, sealed: Record<string, unknown> = {}) => {
    const entries = trail.get(log) as MadeEntry[];
    const number = (seq += 1);
    const event = {
      ...{ event_id: `e${number}`, log, schema: 1, emitter: "egress-1", seq: number, bytes: 0 },
      ...{ at: instant(number), stored_at: instant(number + 5), ...columns, ...sealed },
    };
    const salts = Object.keys(sealed).map((column) => [column, { salt: randomBytes(32).toString("hex") }]);
    entries.push(rehash({ log, index: entries.length, event, sealed: Object.fromEntries(salts), hash: "" }));
  };
  add("_gateway", { kind: "emitter", service: "egress", word: "started", version: "0.1.0" });
  for (const [log, count] of Object.entries(counts))
    while ((trail.get(log) as MadeEntry[]).length < count - (log === "_gateway" ? 1 : 0))
      add(log, ...(seq % 2 === 0 ? intent(log, seq) : outcome(log, seq)));
  add("_gateway", { kind: "emitter", service: "egress", word: "stopped", version: "0.1.0" });
  return trail;
}

function instant(number: number): string {
  return new Date(Date.UTC(2026, 10, 21, 10) + number * 1_001).toISOString();
}

function intent(log: string, number: number): [Columns, Columns] {
  return [
    {
      ...{
        kind: "intent",
        call: `c${number}`,
        tenant: log,
        auth: "api_key",
        scopes: ["read", 'wr"ite'],
        label: "mcp_proxy",
      },
      ...{ protocol: "mcp", era: "modern", http: "POST", path: "/mcp", method: "tools/call", target: "größe\u{1F600}" },
      ...{ server: "main", trace: "4bf9", rpc_id: `"${number}"`, arguments_hash: "ab".repeat(32), bytes: 120 + number },
      ...{ resumes: { method: "tools/list", b: 1e21 } },
    },
    {
      ...{ agent_id: `agent-${number % 7}`, agent_name: "Ägent", auth_user: "someone@example.test" },
      ...{ captured: { order: { id: number, sum: 0.1 }, "\u00e9": [true, null, "x"] } },
    },
  ];
}

function outcome(log: string, number: number): [Columns, Columns] {
  const columns = {
    kind: "outcome",
    call: `c${number - 1}`,
    tenant: log,
    status: 200,
    decision: "allow",
    is_error: false,
  };
  return [{ ...columns, duration_ms: 12.25 + number / 8, result_hash: "cd".repeat(32) }, {}];
}

/** The lines of an export as `sluice audit export --format jsonl` writes them. */
export function linesFor(
  trail: ReadonlyMap<string, readonly object[]>,
  checkpoints: readonly Checkpoint[],
  key: MadeKey,
): string[] {
  const heads = checkpoints.map(({ note }) => JSON.stringify({ checkpoint: note, key: key.vkey }));
  return [
    ...heads,
    ...[...trail.keys()].toSorted().flatMap((log) => (trail.get(log) ?? []).map((entry) => JSON.stringify(entry))),
  ];
}
