import { timingSafeEqual } from "node:crypto";
import { authGatewayText, bodyHash, requestFlaw, strictText, type SignedRequest } from "./canonical.ts";
import { hmacHex, signingKey, type SigningKey } from "./sign.ts";

/** Lower-case names, as Node's `request.headers` has them; a header that came twice is refused. */
export type SignatureHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

export type Refusal =
  | "missing_header"
  | "malformed_header"
  | "malformed_request"
  | "unknown_key"
  | "timestamp_out_of_range"
  | "body_mismatch"
  | "signature_mismatch"
  | "replayed_nonce";

export type Verification = { ok: true } | { ok: false; reason: Refusal };

export interface VerifierOptions extends SigningKey {
  /** How far the timestamp may lie from the clock, both ways; 300 s unless told. */
  toleranceMs?: number;
  /** Remembers a nonce until `expiresAtMs`; false when it is known already. Asked only after the signature holds. */
  rememberNonce?: (nonce: string, expiresAtMs: number) => boolean | Promise<boolean>;
}

export interface Verifier {
  verify: (request: SignedRequest, headers: SignatureHeaders) => Promise<Verification>;
}

interface Presented {
  keyId: string;
  signature: string;
  timestampS: string;
  nonce: string;
  contentSha256: string;
}

/** Says whether headers sign a request. Signatures are compared in constant time. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { mode, keyId, clock = Date.now, toleranceMs = 300_000, rememberNonce } = options;
  const key = signingKey(options);
  const expectedFor = (request: SignedRequest, presented: Presented) =>
    hmacHex(key, mode === "strict" ? strictText(request, presented) : authGatewayText(request, presented.timestampS));

  return {
    verify: async (request, headers) => {
      if (requestFlaw(request) !== undefined) return refused("malformed_request");
      const presented = presentedBy(headers, mode === "strict");
      if (typeof presented === "string") return refused(presented);
      if (presented.keyId !== keyId) return refused("unknown_key");
      const timestampMs = Number(presented.timestampS) * 1000;
      if (Math.abs(clock() - timestampMs) > toleranceMs) return refused("timestamp_out_of_range");
      const expected = Buffer.from(expectedFor(request, presented), "hex");
      if (!timingSafeEqual(expected, Buffer.from(presented.signature, "hex"))) return refused("signature_mismatch");
      if (mode === "auth-gateway") return { ok: true };
      if (bodyHash(request) !== presented.contentSha256) return refused("body_mismatch");
      const fresh = rememberNonce === undefined || (await rememberNonce(presented.nonce, timestampMs + toleranceMs));
      return fresh ? { ok: true } : refused("replayed_nonce");
    },
  };
}

/** Verifies one request; keep a verifier where there are many. */
export function verify(
  options: VerifierOptions,
  request: SignedRequest,
  headers: SignatureHeaders,
): Promise<Verification> {
  return createVerifier(options).verify(request, headers);
}

function presentedBy(headers: SignatureHeaders, strict: boolean): Presented | Refusal {
  const names = ["x-api-key-id", "x-signature", "x-timestamp", ...(strict ? ["x-nonce", "x-content-sha256"] : [])];
  const found = names.map((name) => headers[name]);
  if (found.includes(undefined)) return "missing_header";
  if (!found.every((value) => typeof value === "string")) return "malformed_header";
  const [keyId = "", signature = "", timestampS = "", nonce = "", contentSha256 = ""] = found;
  if (!/^[0-9a-f]{64}$/.test(signature) || !/^(?:0|[1-9][0-9]{0,11})$/.test(timestampS)) return "malformed_header";
  if (strict && (!/^[\w-]{22,128}$/.test(nonce) || !/^[0-9a-f]{64}$/.test(contentSha256))) return "malformed_header";
  return { keyId, signature, timestampS, nonce, contentSha256 };
}

function refused(reason: Refusal): Verification {
  return { ok: false, reason };
}
