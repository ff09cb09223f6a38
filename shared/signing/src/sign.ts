import { createHmac, createSecretKey, randomBytes, type KeyObject } from "node:crypto";
import {
  authGatewayText,
  bodyHash,
  requestFlaw,
  strictText,
  type SignedRequest,
  type SigningMode,
} from "./canonical.ts";
import { weakSecretReason } from "./weak-secret.ts";

/** Milliseconds since 1970, as Date.now gives them. */
export type Clock = () => number;

export interface SigningKey {
  mode: SigningMode;
  /** Visible ASCII; travels in `x-api-key-id`. */
  keyId: string;
  secret: string;
  clock?: Clock;
}

export interface SignerOptions extends SigningKey {
  /** Gives what makes each strict signature unique; 128 random bits in base64url unless told. */
  nonce?: () => string;
}

export interface Signer {
  /** The headers to add; throws a TypeError on a request that cannot be signed without ambiguity. */
  sign: (request: SignedRequest) => Record<string, string>;
}

/** The key is unfit to sign with. The message names the key id and the reason, never the secret. */
export class WeakSecretError extends Error {
  override name = "WeakSecretError";
}

/** Checks the secret once and keeps it as a key, so that signing a request costs one HMAC. */
export function createSigner(options: SignerOptions): Signer {
  const { mode, keyId, clock = Date.now, nonce = randomNonce } = options;
  const key = signingKey(options);
  return {
    sign: (request) => {
      const flaw = requestFlaw(request);
      if (flaw !== undefined) throw new TypeError(`cannot sign the request: ${flaw}`);
      const timestampS = String(Math.floor(clock() / 1000));
      if (mode === "auth-gateway") {
        const signature = hmacHex(key, authGatewayText(request, timestampS));
        return { "x-api-key-id": keyId, "x-signature": signature, "x-timestamp": timestampS };
      }
      const stamp = { timestampS, nonce: nonce(), contentSha256: bodyHash(request) };
      return {
        "x-api-key-id": keyId,
        "x-signature": hmacHex(key, strictText(request, stamp)),
        "x-timestamp": timestampS,
        "x-nonce": stamp.nonce,
        "x-content-sha256": stamp.contentSha256,
      };
    },
  };
}

/** The secret as a key; throws where the key id or the secret is unfit. */
export function signingKey({ mode, keyId, secret }: SigningKey): KeyObject {
  if (mode !== "auth-gateway" && mode !== "strict") throw new TypeError("mode must be auth-gateway or strict");
  if (!/^[\x21-\x7e]+$/.test(keyId)) throw new TypeError("the key id must be visible ASCII without spaces");
  const reason = weakSecretReason(secret);
  if (reason !== undefined) {
    throw new WeakSecretError(
      `the secret of signing key "${keyId}" is too weak: ${reason}; set at least 16 random bytes, for example from: openssl rand -hex 32`,
    );
  }
  return createSecretKey(secret, "utf8");
}

export function hmacHex(key: KeyObject, signed: string): string {
  return createHmac("sha256", key).update(signed).digest("hex");
}

function randomNonce(): string {
  return randomBytes(16).toString("base64url");
}
