/** Bytes of JSON that one captured value may have, and all of an event together. */
const mostValueBytes = 4 * 1024;
const mostTogetherBytes = 16 * 1024;
/** Bytes of JSON that may be written to find out how large the values of one message are. */
const mostWritten = 512 * 1024;
/** Values of a message that paths may be asked of that look at more than one place, over all such paths (`FieldPath.effort`). */
const mostEffort = 16_000;

/** What is left for the values of one event, and of the work on its message. */
export class Room {
  left = mostTogetherBytes;
  written = mostWritten;
  effort = mostEffort;
}

/** Stands for a value that was too long: how it begins, and the bytes of the whole (of a string as UTF-8, else as JSON). */
interface Cut {
  readonly $cut: string;
  readonly $bytes: number;
}

/** The value, which is `cleaned`, as it may stand in an event: what is too long is cut. @throws RangeError after too much work */
export function boundedValue(value: unknown, room: Room): unknown {
  if (room.written <= 0) throw new RangeError("too many values");
  const json = JSON.stringify(value);
  const most = Math.min(mostValueBytes, room.left);
  const size = Buffer.byteLength(json);
  room.written -= size;
  if (size <= most) {
    room.left -= size;
    return value;
  }
  const cut = cutTo(typeof value === "string" ? value : json, most);
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

/** How JSON writes what databases do not store. */
const mayBeUnclean = /\\u(?:0000|d[89a-f])/i;

/** What `text` was parsed to, with U+FFFD for what databases do not store (NUL, half surrogate pairs). */
export function cleanedFrom(text: string, value: unknown): unknown {
  return mayBeUnclean.test(text) ? cleaned(value) : value;
}

export function cleaned(value: unknown): unknown {
  if (typeof value === "string") return cleanText(value);
  if (Array.isArray(value)) return value.map(cleaned);
  if (typeof value !== "object" || value === null) return value;
  // fromEntries defines members: no name, `__proto__` included, means anything else.
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [cleanText(name), cleaned(member)]));
}

function cleanText(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\ufffd");
}
