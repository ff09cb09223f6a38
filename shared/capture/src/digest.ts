import { createHash, hash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { compile, raw, scan } from "@sluice/json";

const sliceBytes = 256 * 1024;
/** A larger answer is not looked into: its digest is of all of it. */
export const mostScannedBytes = 256 * 1024;

const answer = compile([["jsonrpc"], ["result"], ["error"]], []);

/** SHA-256 in hex; what is large is read in slices, so that it holds up nobody. */
export function digestOf(bytes: Uint8Array): string | Promise<string> {
  return bytes.length > sliceBytes ? digestInSlices(bytes) : hash("sha256", bytes, "hex");
}

async function digestInSlices(bytes: Uint8Array): Promise<string> {
  const sha256 = createHash("sha256");
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    sha256.update(bytes.subarray(at, at + sliceBytes));
    await nextTurn();
  }
  return sha256.digest("hex");
}

/**
 * What of an answer its digest is of: the bytes of `result`, or `error`, of a JSON-RPC message of at most `mostScannedBytes`; all
 * of anything else.
 */
export function answeredPart(body: Buffer): Buffer {
  if (body.length > mostScannedBytes) return body;
  const seen = scan(body, answer);
  if (!seen.ok) return body;
  const [jsonrpc, result, error] = seen.values;
  const said = result ?? error;
  return jsonrpc === undefined || said === undefined ? body : raw(body, said);
}
