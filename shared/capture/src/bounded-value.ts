/** Bytes of JSON that one captured value may have, and all of an event together. */
const mostValueBytes = 4 * 1024;
const mostTogetherBytes = 16 * 1024;

/** What is left for the values of one event. */
export class Room {
  left = mostTogetherBytes;
}

/** Stands for a value that was too long: how it begins, and the bytes of the whole (of a string as UTF-8, else as JSON). */
interface Cut {
  readonly $cut: string;
  readonly $bytes: number;
}

/**
 * The value as it may stand in an event: what is too long is cut, and what databases do not store (NUL, half surrogate pairs)
 * is U+FFFD.
 */
export function boundedValue(value: unknown, room: Room): unknown {
  const clean = cleaned(value);
  const json = JSON.stringify(clean);
  const most = Math.min(mostValueBytes, room.left);
  const size = Buffer.byteLength(json);
  if (size <= most) {
    room.left -= size;
    return clean;
  }
  const cut = cutTo(typeof clean === "string" ? clean : json, most);
  room.left = Math.max(0, room.left - Buffer.byteLength(JSON.stringify(cut)));
  return cut;
}

function cutTo(text: string, most: number): Cut {
  const bytes = Buffer.from(text);
  // What an escape adds to a character of one byte is counted as if all had it, where any has.
  const isPlain = JSON.stringify(text).length === text.length + 2;
  const kept = bytes.subarray(0, isPlain ? most : Math.floor(most / 6));
  return { $cut: new TextDecoder("utf-8", { ignoreBOM: true }).decode(kept, { stream: true }), $bytes: bytes.length };
}

function cleaned(value: unknown): unknown {
  if (typeof value === "string") return cleanText(value);
  if (Array.isArray(value)) return value.map(cleaned);
  if (typeof value !== "object" || value === null) return value;
  // fromEntries defines members: no name, `__proto__` included, means anything else.
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [cleanText(name), cleaned(member)]));
}

function cleanText(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}
