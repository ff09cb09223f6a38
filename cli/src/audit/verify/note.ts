import { createPublicKey, hash, verify, type KeyObject } from "node:crypto";

/** A key that signs notes (c2sp.org/signed-note). */
export interface NoteKey {
  readonly name: string;
  /** The first four bytes of a signature tell which key of this name it is of. */
  readonly id: Buffer;
  readonly key: KeyObject;
}

/** What a checkpoint says (c2sp.org/tlog-checkpoint). */
export interface SignedHead {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
}

/** The text is no note, no checkpoint or no key. */
export class BadNote extends Error {
  override readonly name = "BadNote";
}

const ed25519 = 1;
const keyBytes = 32;
const idBytes = 4;
const signatureBytes = 64;
/** RFC 8410 §4: what comes before the 32 bytes of a key in its SubjectPublicKeyInfo. */
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex");

/** Reads `<name>+<id in hex>+<Base64 of type and public key>`, as golang.org/x/mod/sumdb/note writes a verifier's key. @throws BadNote */
export function readKey(text: string): NoteKey {
  if (text.trim().startsWith("PRIVATE+KEY+"))
    throw new BadNote("that is the private key: give the verifier key, which sluice audit keygen printed");
  const [, name, idHex, encoded] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(text.trim()) ?? [];
  if (name === undefined || idHex === undefined || encoded === undefined)
    throw new BadNote("the key is not written like <name>+<hash>+<Base64>");
  const bytes = Buffer.from(encoded, "base64");
  if (bytes[0] !== ed25519 || bytes.length !== 1 + keyBytes) throw new BadNote("the key is not one of Ed25519");
  const id = hash("sha256", Buffer.concat([Buffer.from(`${name}\n`), bytes]), "buffer").subarray(0, idBytes);
  if (id.toString("hex") !== idHex)
    throw new BadNote("the key does not fit its own hash: it was copied with a mistake");
  const der = Buffer.concat([spkiPrefix, bytes.subarray(1)]);
  return { name, id, key: createPublicKey({ key: der, format: "der", type: "spki" }) };
}

/** What became of the signatures of a note: only with `signed` counts what it says. */
export type Signed = "signed" | "bad signature" | "unknown key";

/** Says whether one of these keys signed it, and none of them in vain. */
export function signatureOf(note: string, keys: readonly NoteKey[]): Signed {
  const { text, signatures } = partsOf(note);
  let signed: Signed = "unknown key";
  for (const { name, bytes } of signatures) {
    const key = keys.find((one) => one.name === name && one.id.equals(bytes.subarray(0, idBytes)));
    if (key === undefined) continue;
    const signature = bytes.subarray(idBytes);
    if (signature.length !== signatureBytes || !verify(null, Buffer.from(text), key.key, signature))
      return "bad signature";
    signed = "signed";
  }
  return signed;
}

/** What the note says, whoever signed it. @throws BadNote */
export function readCheckpoint(note: string): SignedHead {
  const [origin = "", size = "", root = "", ...others] = partsOf(note).text.slice(0, -1).split("\n");
  const hashed = Buffer.from(root, "base64");
  if (
    origin === "" ||
    !/^(?:0|[1-9]\d{0,15})$/.test(size) ||
    hashed.toString("base64") !== root ||
    hashed.length !== 32
  )
    throw new BadNote("the note is no checkpoint: origin, size and root are not its first three lines");
  if (others.includes("")) throw new BadNote("the note is no checkpoint: it has an empty line");
  return { origin, size: Number(size), root: hashed };
}

/** Who is said to have signed it, as `<name>+<hash>`. @throws BadNote */
export function signersOf(note: string): string[] {
  return partsOf(note).signatures.map(({ name, bytes }) => `${name}+${bytes.subarray(0, idBytes).toString("hex")}`);
}

interface Parts {
  /** What is signed, its last line's end included. */
  readonly text: string;
  readonly signatures: readonly { readonly name: string; readonly bytes: Buffer }[];
}

function partsOf(note: string): Parts {
  const at = note.lastIndexOf("\n\n");
  const lines = note.slice(at + 2).split("\n");
  if (at === -1 || lines.pop() !== "" || lines.length === 0) throw new BadNote("it is no signed note");
  const signatures = lines.map((line) => {
    const [, name, encoded] = /^\u2014 ([^+\s]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
    if (name === undefined || encoded === undefined) throw new BadNote("a line of its signatures is not one");
    return { name, bytes: Buffer.from(encoded, "base64") };
  });
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x09\x0b-\x1f]/.test(note) || !note.isWellFormed()) throw new BadNote("it has control characters");
  return { text: note.slice(0, at + 1), signatures };
}
