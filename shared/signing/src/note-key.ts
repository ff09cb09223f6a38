import { generateKeyPairSync, hash } from "node:crypto";

/** A pair of keys for signed notes (c2sp.org/signed-note), as text. */
export interface NoteKey {
  /** `PRIVATE+KEY+<name>+<id>+<base64>`: whoever has it can sign. */
  readonly privateKey: string;
  /** `<name>+<id>+<base64>`: what is needed to check signatures, and no secret. */
  readonly verifierKey: string;
}

const ed25519 = Buffer.of(1);
const keyBytes = 32;
const idBytes = 4;

/** Whether a key can have this name, which stands in each of its signatures; better a schema-less URL, such as example.com/audit. */
export function isNoteKeyName(name: string): boolean {
  return /^[^\p{White_Space}\p{Cc}+]{1,256}$/u.test(name);
}

/** Makes an Ed25519 key. @throws RangeError where the name can't be one */
export function makeNoteKey(name: string): NoteKey {
  if (!isNoteKeyName(name)) throw new RangeError("the name of a key has neither spaces nor +");
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-keyBytes);
  const typedKey = Buffer.concat([ed25519, publicKey.export({ format: "der", type: "spki" }).subarray(-keyBytes)]);
  const id = hash("sha256", Buffer.concat([Buffer.from(`${name}\n`), typedKey]), "buffer")
    .subarray(0, idBytes)
    .toString("hex");
  return {
    privateKey: `PRIVATE+KEY+${name}+${id}+${Buffer.concat([ed25519, seed]).toString("base64")}`,
    verifierKey: `${name}+${id}+${typedKey.toString("base64")}`,
  };
}
