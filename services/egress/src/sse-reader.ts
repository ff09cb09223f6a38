const lf = 0x0a;
const cr = 0x0d;
const newline = Buffer.from("\n");

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
  #rest: Buffer = Buffer.alloc(0);
  #lines: Buffer[] = [];
  #data: Buffer[] = [];
  #otherLines: Buffer[] = [];
  #size = 0;
  /** A part of the event was already given out. */
  #split = false;
  #midLine = false;
  #skipLf = false;
  /** The last id that the upstream gave. */
  lastId: string | undefined;

  constructor(maxPieceBytes: number) {
    this.#maxPieceBytes = maxPieceBytes;
  }

  push(chunk: Buffer): SsePiece[] {
    const pieces: SsePiece[] = [];
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let pos = 0;
    for (;;) {
      if (this.#skipLf && pos < bytes.length) {
        if (bytes[pos] === lf) pos++;
        this.#skipLf = false;
      }
      const end = lineEnd(bytes, pos);
      if (end === -1) break;
      this.#line(bytes.subarray(pos, end), pieces);
      this.#skipLf = bytes[end] === cr;
      pos = end + 1;
    }
    this.#rest = bytes.subarray(pos);
    if (this.#size + this.#rest.length > this.#maxPieceBytes) this.#giveOutPart(pieces);
    return pieces;
  }

  #line(line: Buffer, pieces: SsePiece[]): void {
    if (this.#midLine) {
      this.#midLine = false;
      this.#keep(line);
    } else if (line.length === 0) this.#endEvent(pieces);
    else if (isField(line, "id")) this.lastId = fieldValue(line, "id").toString("utf8");
    else if (line[0] !== 0x3a) {
      if (isField(line, "data")) this.#data.push(fieldValue(line, "data"));
      else this.#otherLines.push(line, newline);
      this.#keep(line);
    }
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
    const partOfLine = this.#rest.length > 0 && (this.#midLine || !isField(this.#rest, "id"));
    if (partOfLine) {
      this.#lines.push(this.#rest);
      this.#rest = Buffer.alloc(0);
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

function lineEnd(bytes: Buffer, from: number): number {
  const lfAt = bytes.indexOf(lf, from);
  const crAt = (lfAt === -1 ? bytes.subarray(from) : bytes.subarray(from, lfAt)).indexOf(cr);
  return crAt === -1 ? lfAt : from + crAt;
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
  if (lines.length <= 1) return lines[0] ?? Buffer.alloc(0);
  return Buffer.concat(lines.flatMap((line, index) => (index === 0 ? [line] : [newline, line])));
}
