import {
  base64url,
  decodeProtectedHeader,
  flattenedVerify,
  FlattenedSign,
  importJWK,
  importSPKI,
  type CryptoKey,
  type JWK,
} from "jose";
import { canonicalForms, signedForms } from "./card-canonical.ts";
import { isMembers, type Members } from "./card-shape.ts";

/** What signs cards, and the name by which its public half is found. */
export interface CardKey {
  readonly key: CryptoKey;
  readonly alg: string;
  readonly kid: string;
  /** Where the public half is published. */
  readonly jku: string;
}

/** Signatures that are looked at; whoever sends more wants to keep us busy. */
const mostSignatures = 8;
/** Keys of one set that are tried. */
const mostKeys = 16;
/** Those that nobody can make with the public key. */
const algorithms = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
  "Ed25519",
];

/** The card with the gateway's signature (1.0 §8.4.2) over each form that verifiers make of it. */
export async function signCard(card: Members, { key, alg, kid, jku }: CardKey): Promise<Members> {
  const signatures = await Promise.all(
    signedForms(card).map(async (text) => {
      const sign = new FlattenedSign(Buffer.from(text)).setProtectedHeader({ alg, typ: "JOSE", kid, jku });
      const { protected: header, signature } = await sign.sign(key);
      return { protected: header, signature };
    }),
  );
  return { ...card, signatures };
}

/** Where the keys are found that a card may be signed with. */
export interface CardKeys {
  /** Public keys in PEM that count, and no others do. */
  readonly pinned?: readonly string[];
  /** The key set at an address that a signature names; undefined where that is none to be asked. */
  readonly fetch: (jku: string) => Promise<readonly JWK[] | undefined>;
}

/** `unknown`: it is signed by somebody whose keys are not to be had. */
export type Verified =
  | { readonly is: "unsigned" }
  | { readonly is: "valid"; readonly card: Members }
  | { readonly is: "unknown" | "invalid"; readonly reason: string };

/** Whether one of the signatures of a card is good; a good one vouches for what is given back, and for nothing else. */
export async function verifyCard(card: Members, keys: CardKeys): Promise<Verified> {
  const { signatures } = card;
  if (signatures === undefined || signatures === null) return { is: "unsigned" };
  if (!Array.isArray(signatures)) return { is: "invalid", reason: "signatures is no list" };
  if (signatures.length === 0) return { is: "unsigned" };
  const forms = canonicalForms(card);
  let isMisfit = false;
  let seen: Verified = { is: "invalid", reason: "no signature can be read" };
  for (const signature of signatures.slice(0, mostSignatures) as unknown[]) {
    if (!isSignature(signature)) continue;
    const found = await keysFor(signature, keys);
    if (typeof found === "string") {
      if (!isMisfit) seen = { is: "unknown", reason: found };
      continue;
    }
    for (const form of forms)
      if (await fits(signature, form, found)) return { is: "valid", card: JSON.parse(form) as Members };
    isMisfit = true;
    seen = { is: "invalid", reason: "a signature does not fit the card" };
  }
  return seen;
}

interface Signature {
  readonly protected: string;
  readonly signature: string;
}

function isSignature(value: unknown): value is Signature {
  return isMembers(value) && typeof value["protected"] === "string" && typeof value["signature"] === "string";
}

/** The keys that may have made a signature, or why there are none. */
async function keysFor(signature: Signature, { pinned, fetch }: CardKeys): Promise<readonly CryptoKey[] | string> {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(signature);
  } catch {
    return "a signature has no header that can be read";
  }
  const { alg, kid, jku } = header;
  if (alg === undefined || !algorithms.includes(alg)) return "a signature is of a kind that is not accepted";
  if (pinned !== undefined) return (await Promise.all(pinned.map((pem) => imported(importSPKI(pem, alg))))).flat();
  if (jku === undefined) return "the key of a signature is not known: name it in cardKeys";
  const published = await fetch(jku);
  if (published === undefined) return "the keys of a signature are not to be had";
  const named = published.filter((key) => key.kid === kid && key.kty !== "oct").slice(0, mostKeys);
  if (named.length === 0) return "the key of a signature is not among those at its jku";
  return (await Promise.all(named.map((key) => imported(importJWK(key, alg))))).flat();
}

async function imported(key: Promise<CryptoKey | Uint8Array>): Promise<CryptoKey[]> {
  try {
    const ready = await key;
    return ready instanceof Uint8Array ? [] : [ready];
  } catch {
    return [];
  }
}

async function fits(signature: Signature, text: string, keys: readonly CryptoKey[]): Promise<boolean> {
  const { protected: header, signature: signed } = signature;
  const jws = { payload: base64url.encode(text), protected: header, signature: signed };
  for (const key of keys)
    try {
      await flattenedVerify(jws, key, { algorithms });
      return true;
    } catch {
      // Another key or form may fit.
    }
  return false;
}
