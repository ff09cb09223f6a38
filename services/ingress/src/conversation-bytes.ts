import { createHash } from "node:crypto";
import { chunkBytes, encodeHeadAndBody, Fault, takeCallMs, type CallHead } from "@sluice/contracts";
import type { Body } from "./body.ts";

/** What an answer may have that is put together here. */
const longestGatheredBytes = 32 * 1024 * 1024;

/** A call as it is handed to egress now: with its body, or with the announcement of one that follows in chunks. */
export function handed(head: Omit<CallHead, "notAfter" | "chunked">, body: Body) {
  const isLarge = body.length > chunkBytes;
  const sent: CallHead = {
    ...head,
    notAfter: Date.now() + takeCallMs,
    ...(isLarge && { chunked: { bytes: body.length, sha256: createHash("sha256").update(body.bytes).digest("hex") } }),
  };
  return encodeHeadAndBody(sent, isLarge ? Buffer.alloc(0) : body.bytes);
}

/** The chunks as one. `book` is told how many bytes are held. @throws Fault where they are too many */
export async function gathered(chunks: AsyncIterable<Uint8Array>, book: (bytes: number) => void): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    size += chunk.length;
    if (size > longestGatheredBytes) throw new Fault("upstream_failed", "the answer is too large to be translated");
    book(size);
  }
  return Buffer.concat(parts, size);
}

/** So that nothing but the body itself holds its bytes while they are sent. */
export function* takenFrom(body: Body): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += chunkBytes) yield body.bytes.subarray(at, at + chunkBytes);
}
