import { createPrivateKey, createPublicKey, hash, sign, verify, type KeyObject } from "node:crypto";

/** A key for signed notes (c2sp.org/signed-note), as text. The message never has any of it. */
export class BadKey extends Error {
  override readonly name = "BadKey";
}

/** Ed25519 as signed notes have it. */
const ed25519 = 1;
const keyBytes = 32;
const idBytes = 4;
/** PKCS #8 (RFC 8410 §7) and SPKI (§4), but for the key. */
const privateHead = Buffer.from("302e020100300506032b657004220420", "hex");
const publicHead = Buffer.from("302a300506032b6570032100", "hex");
const namePattern = /^[^\p{White_Space}\p{Cc}+]+$/u;

function keyId(name: string, typedKey: Buffer): Buffer {
  return hash("sha256", Buffer.concat([Buffer.from(`${name}\n`), typedKey]), "buffer").subarray(0, idBytes);
}

function base64(text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw new BadKey("it is not in base64");
  return bytes;
}

/** The algorithm, then 32 bytes. */
function typed(text: string): Buffer {
  const bytes = base64(text);
  if (bytes.length !== keyBytes + 1 || bytes[0] !== ed25519) throw new BadKey("it is no Ed25519 key");
  return bytes;
}

/** Signs notes by one key. */
export class NoteSigner {
  readonly name: string;
  /** The verifier key: what is needed to check its signatures, and no secret. */
  readonly verifierKey: string;
  readonly #id: Buffer;
  readonly #key: KeyObject;

  /**
   * @param text `PRIVATE+KEY+<name>+<id in hex>+<base64 of the algorithm and the seed>`
   * @throws BadKey
   */
  constructor(text: string) {
    const [, name = "", id = "", key = ""] = /^PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? [];
    if (!namePattern.test(name)) throw new BadKey("it does not have the form PRIVATE+KEY+<name>+<id>+<key>");
    this.#key = createPrivateKey({
      key: Buffer.concat([privateHead, typed(key).subarray(1)]),
      format: "der",
      type: "pkcs8",
    });
    const spki = createPublicKey(this.#key).export({ format: "der", type: "spki" });
    const typedKey = Buffer.concat([Buffer.of(ed25519), spki.subarray(publicHead.length)]);
    this.#id = keyId(name, typedKey);
    if (this.#id.toString("hex") !== id) throw new BadKey("its id is not the one of its name and key");
    this.name = name;
    this.verifierKey = `${name}+${id}+${typedKey.toString("base64")}`;
  }

  /** @param text ends with a newline */
  sign(text: string): string {
    const signature = Buffer.concat([this.#id, sign(null, Buffer.from(text), this.#key)]).toString("base64");
    return `${text}\n— ${this.name} ${signature}\n`;
  }
}

/**
 * The text of a note, where the key has signed it; undefined where it has not.
 * @param verifierKey `<name>+<id in hex>+<base64 of the algorithm and the public key>`
 * @throws BadKey
 */
export function openNote(note: string, verifierKey: string): string | undefined {
  const [, name = "", id = "", key = ""] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(verifierKey) ?? [];
  const typedKey = typed(key);
  if (!namePattern.test(name) || keyId(name, typedKey).toString("hex") !== id)
    throw new BadKey("it does not have the form <name>+<id>+<key>");
  const end = note.lastIndexOf("\n\n");
  if (end === -1 || !note.endsWith("\n")) return undefined;
  const text = note.slice(0, end + 1);
  const publicKey = createPublicKey({
    key: Buffer.concat([publicHead, typedKey.subarray(1)]),
    format: "der",
    type: "spki",
  });
  for (const line of note.slice(end + 2, -1).split("\n")) {
    const [, signer, written = ""] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    const signature = Buffer.from(written, "base64");
    if (signature.toString("base64") !== written) continue;
    if (signer !== name || signature.subarray(0, idBytes).toString("hex") !== id) continue;
    return verify(null, Buffer.from(text), publicKey, signature.subarray(idBytes)) ? text : undefined;
  }
  return undefined;
}
