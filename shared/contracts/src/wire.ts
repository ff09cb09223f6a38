/** Byte layouts of messages that carry a head and raw bytes. Heads are JSON; bodies are never touched. */

const encoder = new TextEncoder();

/** `[u32 length of head][head JSON][body]` */
export function encodeHeadAndBody(head: unknown, body: Uint8Array): Uint8Array {
  const text = JSON.stringify(head);
  const out = Buffer.allocUnsafe(4 + Buffer.byteLength(text) + body.length);
  const headLength = out.write(text, 4, "utf8");
  out.writeUInt32BE(headLength, 0);
  out.set(body, 4 + headLength);
  return out;
}

export function decodeHeadAndBody<Head>(message: Uint8Array): { head: Head; body: Buffer } {
  const bytes = asBuffer(message);
  const headLength = bytes.readUInt32BE(0);
  if (4 + headLength > bytes.length) throw new RangeError("message shorter than its head");
  const head = JSON.parse(bytes.toString("utf8", 4, 4 + headLength)) as Head;
  return { head, body: bytes.subarray(4 + headLength) };
}

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function decodeJson<T>(bytes: Uint8Array): T {
  return JSON.parse(asBuffer(bytes).toString("utf8")) as T;
}

/** A view, not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * One message of a streamed reply: `[u8 flags][u32 first][u32 last][bytes]`.
 * Pieces are numbered from 1 without gaps; an SSE event ends with a piece and carries its number as `id`.
 * Number 0 is the head.
 */
export interface Frame {
  readonly first: number;
  readonly last: number;
  readonly bytes: Buffer;
  readonly head: boolean;
  readonly end: boolean;
}

const headFlag = 1;
const endFlag = 2;
const frameHeadBytes = 9;

export function encodeFrame(frame: Frame): Buffer {
  const out = Buffer.allocUnsafe(frameHeadBytes + frame.bytes.length);
  out[0] = (frame.head ? headFlag : 0) | (frame.end ? endFlag : 0);
  out.writeUInt32BE(frame.first, 1);
  out.writeUInt32BE(frame.last, 5);
  out.set(frame.bytes, frameHeadBytes);
  return out;
}

export function decodeFrame(message: Uint8Array): Frame {
  const bytes = asBuffer(message);
  const flags = bytes[0] ?? 0;
  return {
    first: bytes.readUInt32BE(1),
    last: bytes.readUInt32BE(5),
    bytes: bytes.subarray(frameHeadBytes),
    head: (flags & headFlag) !== 0,
    end: (flags & endFlag) !== 0,
  };
}

/** A body travels in pieces of this size; larger than this, it does not fit one message. */
export const chunkBytes = 256 * 1024;
/** Chunks that may be under way without a credit. */
export const chunkWindow = 8;
