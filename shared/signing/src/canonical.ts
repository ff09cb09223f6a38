import { createHash } from "node:crypto";

export type SigningMode = "auth-gateway" | "strict";

/** What the request line and the body say, exactly as sent. */
export interface SignedRequest {
  method: string;
  /** Without the query, not decoded or normalised. */
  path: string;
  /** Without the question mark; absent or empty where there is none. */
  query?: string;
  /** The body, or in its place the lower-case hex SHA-256 of it; absent means empty. */
  body?: Uint8Array | string;
  bodySha256?: string;
}

/** What a signature covers besides the request. `timestampS` is decimal Unix seconds. */
export interface Stamp {
  timestampS: string;
  nonce: string;
  contentSha256: string;
}

const emptyBodySha256 = sha256Hex("");

/** The text that is signed in the mode `auth-gateway`; no newline at its end. */
export function authGatewayText(request: SignedRequest, timestampS: string): string {
  return `${request.method.toUpperCase()}\n${request.path}\n${timestampS}`;
}

/** The text that is signed in the mode `strict`; no newline at its end. */
export function strictText(request: SignedRequest, stamp: Stamp): string {
  const target = `${request.method.toUpperCase()}\n${request.path}\n${request.query ?? ""}`;
  return `SLUICE-HMAC-SHA256\n${target}\n${stamp.timestampS}\n${stamp.nonce}\n${stamp.contentSha256}`;
}

/** Lower-case hex SHA-256 of the body of a request. */
export function bodyHash(request: SignedRequest): string {
  if (request.bodySha256 !== undefined) return request.bodySha256;
  return request.body === undefined || request.body.length === 0 ? emptyBodySha256 : sha256Hex(request.body);
}

/** What makes a request ambiguous once it is joined with newlines, or undefined. */
export function requestFlaw(request: SignedRequest): string | undefined {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(request.method)) return "method must be an HTTP method";
  if (!/^(?:\/[^\s?#]*|\*)$/.test(request.path)) {
    return "path must start with / and hold no space, query or fragment";
  }
  if (request.query !== undefined && /[\s#]/.test(request.query)) return "query must hold no space or fragment";
  if (request.query?.startsWith("?") === true) return "query must be given without its question mark";
  if (request.bodySha256 !== undefined && !/^[0-9a-f]{64}$/.test(request.bodySha256)) {
    return "bodySha256 must be 64 lower-case hex digits";
  }
  return undefined;
}

function sha256Hex(body: Uint8Array | string): string {
  return createHash("sha256").update(body).digest("hex");
}
