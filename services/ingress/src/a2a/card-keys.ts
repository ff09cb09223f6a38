import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { CardKey } from "@sluice/a2a";
import { ConfigError } from "@sluice/runtime";
import { calculateJwkThumbprint, exportJWK, importJWK, type JWK } from "jose";

/** The keys that cards are signed with. */
export interface CardKeyring {
  /** Absent where cards are not signed. */
  readonly signing: Omit<CardKey, "jku"> | undefined;
  /** The public halves (RFC 7517): that of the key which signs, of those before it, and of the next. */
  readonly published: readonly JWK[];
}

const setting = "CARD_SIGNING_KEY";
const pem = /-----BEGIN [A-Z ]+-----[A-Za-z0-9+/=\s]+-----END [A-Z ]+-----/g;

/**
 * Reads `CARD_SIGNING_KEY`: PEM blocks, a JWK or a set of them, each a private key on P-256; the first signs, all are published.
 * @throws ConfigError, without a secret
 */
export async function readCardKeys(text: string | undefined): Promise<CardKeyring> {
  if (text === undefined) return { signing: undefined, published: [] };
  const keys = await Promise.all(keysIn(text).map(usable));
  const [first] = keys;
  if (first === undefined) throw unfit("holds no key");
  return { signing: first.signing, published: keys.map((key) => key.published) };
}

interface Given {
  readonly key: KeyObject;
  readonly kid: string | undefined;
}

function keysIn(text: string): Given[] {
  const blocks = text.match(pem);
  try {
    if (blocks !== null) return blocks.map((block) => ({ key: createPrivateKey(block), kid: undefined }));
    const read = JSON.parse(text) as JWK & { keys?: JWK[] };
    return (read.keys ?? [read]).map((jwk) => ({
      key: createPrivateKey({ key: jwk, format: "jwk" }),
      kid: jwk.kid,
    }));
  } catch {
    throw unfit("cannot be read");
  }
}

async function usable({ key, kid }: Given) {
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    throw unfit("holds a key that is not on P-256");
  const alg = "ES256";
  const shown = await exportJWK(createPublicKey(key));
  const named = kid ?? (await calculateJwkThumbprint(shown));
  const ready = await importJWK(await exportJWK(key), alg);
  if (ready instanceof Uint8Array) throw unfit("holds no private key");
  return { signing: { key: ready, alg, kid: named }, published: { ...shown, kid: named, alg, use: "sig" } };
}

function unfit(what: string): ConfigError {
  return new ConfigError(`${setting} ${what}: give EC private keys on P-256 as PEM (PKCS #8) or as JWK`);
}
