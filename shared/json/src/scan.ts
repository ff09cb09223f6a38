import { isUtf8 } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import type { ScanError } from "./errors.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { Plan } from "./plan.ts";
import { asBuffer, type JsonRange } from "./range.ts";
import { Scanner } from "./scanner.ts";

/** `values` stands in the order of the plan's wants; a value that the document lacks is undefined. */
export type Scan =
  { ok: true; root: JsonRange; values: readonly (JsonRange | undefined)[] } | { ok: false; error: ScanError };

export interface SliceOptions extends Partial<Limits> {
  /** Bytes read between two pauses; 256 KiB unless told. */
  sliceBytes?: number;
  /** Gives way to others between slices; the next turn of the event loop unless told. */
  pause?: () => Promise<unknown>;
}

const kept = new Scanner();

/**
 * Reads one JSON document without changing it. What passes is strict RFC 8259 in UTF-8 that every reader takes the
 * same way: no name twice in an object, no guarded name in another spelling, no half surrogate pair.
 */
export function scan(bytes: Uint8Array, plan: Plan, limits?: Partial<Limits>): Scan {
  const buffer = asBuffer(bytes);
  const encodingError = checkEncoding(buffer);
  if (encodingError !== undefined) return { ok: false, error: encodingError };
  try {
    kept.start(buffer, plan, complete(limits));
    while (!kept.advance(Number.MAX_SAFE_INTEGER));
    return outcome(kept);
  } finally {
    kept.release();
  }
}

/** As `scan`, in slices: for documents that would hold up the event loop. The bytes must not change meanwhile. */
export async function scanAsync(bytes: Uint8Array, plan: Plan, options: SliceOptions = {}): Promise<Scan> {
  const { sliceBytes = 256 * 1024, pause = setImmediate } = options;
  if (!(sliceBytes > 0)) throw new RangeError("sliceBytes must be greater than 0");
  const buffer = asBuffer(bytes);
  const encodingError = checkEncoding(buffer);
  if (encodingError !== undefined) return { ok: false, error: encodingError };
  const scanner = new Scanner();
  scanner.start(buffer, plan, complete(options));
  while (!scanner.advance(sliceBytes)) await pause();
  return outcome(scanner);
}

function outcome(scanner: Scanner): Scan {
  const { failure, root, values } = scanner;
  if (failure !== undefined || root === undefined) {
    return { ok: false, error: failure ?? { kind: "invalid_json", offset: 0 } };
  }
  return { ok: true, root, values };
}

function complete(limits: Partial<Limits> | undefined): Limits {
  if (limits === undefined) return defaultLimits;
  return {
    maxDepth: limits.maxDepth ?? defaultLimits.maxDepth,
    maxTokenBytes: limits.maxTokenBytes ?? defaultLimits.maxTokenBytes,
    maxItems: limits.maxItems ?? defaultLimits.maxItems,
  };
}

function checkEncoding(bytes: Buffer): ScanError | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return { kind: "byte_order_mark", offset: 0 };
  return isUtf8(bytes) ? undefined : { kind: "invalid_utf8", offset: firstInvalid(bytes) };
}

/** Where the first character that is not UTF-8 begins: the longest valid start, found by halving what is left. */
function firstInvalid(bytes: Buffer): number {
  let valid = 0;
  let step = bytes.length;
  while (step > 0) {
    const end = characterStart(bytes, Math.min(bytes.length, valid + step));
    if (end > valid && isUtf8(bytes.subarray(valid, end))) valid = end;
    else step >>= 1;
  }
  for (let width = 1; width <= 4; width++) {
    const end = valid + width;
    if (end > bytes.length || !isUtf8(bytes.subarray(valid, end))) continue;
    valid = end;
    width = 0;
  }
  return valid;
}

function characterStart(bytes: Buffer, at: number): number {
  let i = at;
  while (i > 0 && i > at - 3 && ((bytes[i] ?? 0) & 0xc0) === 0x80) i--;
  return i;
}
