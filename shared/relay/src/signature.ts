import { createHash } from "node:crypto";
import { Fault } from "@sluice/contracts";
import type { Signer, SigningMode } from "@sluice/signing";

/** What of a request is signed, exactly as it is sent. */
export interface Signed {
  readonly method: string;
  readonly path: string;
  /** Without its question mark. */
  readonly query: string;
  /** What is sent: bytes, a stream of them, or nothing. */
  readonly body: Buffer | AsyncIterable<Buffer> | null;
  /** Of a streamed body, in lower-case hex. */
  readonly bodySha256?: string | undefined;
}

/** The fields that sign a request. @throws Fault `internal` for a streamed body whose hash the mode needs and nobody gave */
export function signatureOf(signer: Signer, mode: SigningMode, sent: Signed): Record<string, string> {
  const { method, path, query } = sent;
  if (mode !== "strict") return signer.sign({ method, path, query });
  return signer.sign({ method, path, query, bodySha256: sent.bodySha256 ?? sha256(sent.body) });
}

function sha256(body: Signed["body"]): string {
  if (body !== null && !Buffer.isBuffer(body)) throw new Fault("internal", "a streamed body needs its hash");
  return createHash("sha256")
    .update(body ?? "")
    .digest("hex");
}
