import { asBuffer, type JsonRange } from "./range.ts";

/**
 * The document without the elements of one observed array whose `keep` is false. Each leaves with the comma that
 * joined it; every other byte stays as it was. Ranges of the scan do not fit the result.
 */
export function cutElements(bytes: Uint8Array, array: JsonRange, keep: readonly boolean[]): Buffer {
  const buffer = asBuffer(bytes);
  const { items } = array;
  if (array.kind !== "array" || items === undefined) {
    throw new TypeError("cutElements needs an array that was scanned with { items: true }");
  }
  if (keep.length !== items.length) {
    throw new RangeError(`the array has ${items.length} elements but keep has ${keep.length}`);
  }
  if (keep.every(Boolean)) return buffer;
  const first = items[0] as JsonRange;
  const last = items[items.length - 1] as JsonRange;
  const parts = [buffer.subarray(0, first.start)];
  let empty = true;
  items.forEach((item, i) => {
    if (keep[i] !== true) return;
    const start = empty ? item.start : (items[i - 1] as JsonRange).end;
    parts.push(buffer.subarray(start, item.end));
    empty = false;
  });
  parts.push(buffer.subarray(last.end));
  return Buffer.concat(parts);
}
