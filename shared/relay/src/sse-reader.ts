import { Fault } from "@sluice/contracts";

const lf = 0x0a;
const cr = 0x0d;
const newline = Buffer.from("\n");
const nothing = Buffer.alloc(0);
/** It has to fit into a header field of the request that goes on after it. */
const longestId = 4_096;
/** What no header field can hold; the standard has ids with NUL ignored. */
const unsendable = /[^\t\x20-\x7e\x80-\xff]/;
/** No part is empty: so many of them hold the name of any field that matters here. */
const longestField = 8;

/** A part of an event stream that may be sent on: whole lines, or a part of a very long one. */
export interface SsePiece {
  /** The lines without `id` and comments; without the blank line that ends the event. */
  readonly bytes: Buffer;
  /** Whether the event ends here. */
  readonly endsEvent: boolean;
  /** The event's data and its other lines, where the whole event is in this piece. */
  readonly data?: Buffer;
  readonly otherLines?: Buffer;
}

/**
 * Cuts an upstream's event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html) into events without
 * touching their data. The upstream's ids are taken out and remembered; comments are dropped.
 */
export class SseReader {
  readonly #maxPieceBytes: number;
  readonly #rest = new Rest();
  #begun = false;
  #lines: Buffer[] = [];
  #data: Buffer[] = [];
  #otherLines: Buffer[] = [];
  #size = 0;
  /** A part of the event was already given out. */
  #split = false;
  #midLine = false;
  #skipLf = false;
  /** The last id that the upstream gave: a character per byte, as header fields hold them. */
  lastId: string | undefined;

  constructor(maxPieceBytes: number) {
    this.#maxPieceBytes = maxPieceBytes;
  }

  /** @throws Fault `upstream_failed` for an id that no client could send back. */
  push(chunk: Buffer): SsePiece[] {
    const pieces: SsePiece[] = [];
    const ends = new LineEnds(chunk);
    let pos = 0;
    for (;;) {
      if (this.#skipLf && pos < chunk.length) {
        if (chunk[pos] === lf) pos++;
        this.#skipLf = false;
      }
      const end = ends.after(pos);
      if (end === -1) break;
      this.#line(this.#rest.take(chunk.subarray(pos, end)), pieces);
      this.#skipLf = chunk[end] === cr;
      pos = end + 1;
    }
    this.#rest.add(chunk.subarray(pos));
    if (!this.#midLine && this.#rest.length > longestId && isField(this.#unmarked(this.#rest.start), "id"))
      throw tooLongId();
    if (this.#size + this.#rest.length > this.#maxPieceBytes) this.#giveOutPart(pieces);
    return pieces;
  }

  #line(received: Buffer, pieces: SsePiece[]): void {
    const line = this.#unmarked(received);
    this.#begun = true;
    if (this.#midLine) {
      this.#midLine = false;
      this.#keep(line);
    } else if (line.length === 0) this.#endEvent(pieces);
    else if (isField(line, "id")) {
      if (line.length > longestId) throw tooLongId();
      const id = fieldValue(line, "id").toString("latin1");
      if (!unsendable.test(id)) this.lastId = id;
    } else if (line[0] !== 0x3a) {
      if (isField(line, "data")) this.#data.push(fieldValue(line, "data"));
      else this.#otherLines.push(line, newline);
      this.#keep(line);
    }
  }

  /** A byte order mark may stand before the first line (section 9.2.5 of the standard), and nowhere else. */
  #unmarked(line: Buffer): Buffer {
    return this.#begun ? line : withoutBom(line);
  }

  #keep(line: Buffer): void {
    this.#lines.push(line, newline);
    this.#size += line.length + 1;
  }

  #endEvent(pieces: SsePiece[]): void {
    if (this.#lines.length === 0 && !this.#split) return;
    const data = this.#split ? undefined : joinLines(this.#data);
    const whole = data !== undefined && { data, otherLines: Buffer.concat(this.#otherLines) };
    pieces.push({ bytes: Buffer.concat(this.#lines), endsEvent: true, ...whole });
    this.#forget();
    this.#split = false;
  }

  /** An event too large for one piece: what is there goes on its way; the event ends in a later piece. */
  #giveOutPart(pieces: SsePiece[]): void {
    const partOfLine = this.#rest.length > 0 && (this.#midLine || !isField(this.#unmarked(this.#rest.start), "id"));
    if (partOfLine) {
      this.#lines.push(this.#unmarked(this.#rest.take(nothing)));
      this.#begun = true;
      this.#midLine = true;
    }
    pieces.push({ bytes: Buffer.concat(this.#lines), endsEvent: false });
    this.#forget();
    this.#split = true;
  }

  #forget(): void {
    this.#lines = [];
    this.#data = [];
    this.#otherLines = [];
    this.#size = 0;
  }
}

/** The beginning of a line whose end has not come yet; what was searched for the end is not searched again. */
class Rest {
  #parts: Buffer[] = [];
  length = 0;

  /** Enough of it to tell which field it is. */
  get start(): Buffer {
    return this.#parts.length > 1 ? Buffer.concat(this.#parts.slice(0, longestField)) : (this.#parts[0] ?? nothing);
  }

  add(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.length += part.length;
  }

  take(end: Buffer): Buffer {
    if (this.length === 0) return end;
    const line = Buffer.concat([...this.#parts, end]);
    this.#parts = [];
    this.length = 0;
    return line;
  }
}

/** The ends of lines in a chunk, CR or LF whichever comes first, asked for from left to right. */
class LineEnds {
  readonly #bytes: Buffer;
  #lfAt = -2;
  #crAt = -2;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  after(pos: number): number {
    if (this.#lfAt !== -1 && this.#lfAt < pos) this.#lfAt = this.#bytes.indexOf(lf, pos);
    if (this.#crAt !== -1 && this.#crAt < pos) this.#crAt = this.#bytes.indexOf(cr, pos);
    if (this.#lfAt === -1 || this.#crAt === -1) return Math.max(this.#lfAt, this.#crAt);
    return Math.min(this.#lfAt, this.#crAt);
  }
}

function tooLongId(): Fault {
  return new Fault("upstream_failed", `the upstream gave an event an id of more than ${longestId} bytes`);
}

function withoutBom(line: Buffer): Buffer {
  return line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf ? line.subarray(3) : line;
}

function isField(line: Buffer, name: string): boolean {
  if (line.length < name.length || line.toString("latin1", 0, name.length) !== name) return false;
  return line.length === name.length || line[name.length] === 0x3a;
}

function fieldValue(line: Buffer, name: string): Buffer {
  const start = name.length + 1;
  return line.subarray(line[start] === 0x20 ? start + 1 : start);
}

function joinLines(lines: Buffer[]): Buffer {
  if (lines.length <= 1) return lines[0] ?? nothing;
  return Buffer.concat(lines.flatMap((line, index) => (index === 0 ? [line] : [newline, line])));
}
