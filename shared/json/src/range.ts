export type JsonKind = "string" | "number" | "object" | "array" | "true" | "false" | "null";

/** Where a value lies in the scanned bytes: from `start` up to, not including, `end`. */
export class JsonRange {
  kind: JsonKind;
  start: number;
  end = 0;
  /** True for a string that holds at least one escape. */
  escaped = false;
  /** Elements of an array or members of an object; 0 for anything else. */
  count = 0;
  /** For an item: its member name in an object, or what its wanted member says in an array. */
  name: string | undefined = undefined;
  /** Every element or member, where the plan asked for them. */
  items: JsonRange[] | undefined = undefined;

  constructor(kind: JsonKind, start: number) {
    this.kind = kind;
    this.start = start;
  }
}

/** The decoded text of a string; undefined where the value is absent or of another kind. */
export function text(bytes: Uint8Array, range: JsonRange | undefined): string | undefined {
  if (range === undefined || range.kind !== "string") return undefined;
  if (!range.escaped) return asBuffer(bytes).toString("utf8", range.start + 1, range.end - 1);
  return parseSlice(bytes, range) as string;
}

/** The value as JSON.parse gives it; undefined where it is absent. For small values: it is not sliced. */
export function value(bytes: Uint8Array, range: JsonRange | undefined): unknown {
  return range === undefined ? undefined : parseSlice(bytes, range);
}

/** The bytes of the value themselves, not a copy. */
export function raw(bytes: Uint8Array, range: JsonRange): Buffer {
  return asBuffer(bytes).subarray(range.start, range.end);
}

/** The same memory seen as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function parseSlice(bytes: Uint8Array, range: JsonRange): unknown {
  return JSON.parse(asBuffer(bytes).toString("utf8", range.start, range.end));
}
