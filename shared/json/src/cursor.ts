import type { ScanError, ScanErrorKind } from "./errors.ts";

const nearBytes = 24;
const wordwiseBytes = 32;
const topBits = 0x80808080 | 0;
const empty = Buffer.alloc(0);
const simpleEscapes = new Set([...'"\\/bfnrt'].map((letter) => letter.charCodeAt(0)));
const escapable = Uint8Array.from({ length: 256 }, (_, byte) => (simpleEscapes.has(byte) ? 1 : 0));

/** Reads strings, numbers and literals from bytes; strings can be left at `until` and taken up again. */
export class Cursor {
  bytes: Buffer = empty;
  length = 0;
  pos = 0;
  until = 0;
  /** Whether the string that is being read has shown an escape. */
  escaped = false;
  maxTokenBytes = 0;
  failure: ScanError | undefined = undefined;
  private nextQuote = -1;
  private nextBackslash = -1;
  private words: Int32Array | undefined = undefined;

  protected load(bytes: Buffer, maxTokenBytes: number): void {
    this.bytes = bytes;
    this.length = bytes.length;
    this.pos = 0;
    this.until = 0;
    this.maxTokenBytes = maxTokenBytes;
    this.failure = undefined;
    this.nextQuote = -1;
    this.nextBackslash = -1;
    this.words = undefined;
  }

  protected unload(): void {
    this.bytes = empty;
    this.words = undefined;
  }

  protected fail(kind: ScanErrorKind, offset: number): false {
    this.failure ??= { kind, offset };
    return false;
  }

  /** Goes on inside a string; true once its closing quote is behind. */
  protected readString(): boolean {
    const { bytes } = this;
    while (this.pos < this.until) {
      const near = Math.min(this.pos + nearBytes, this.length);
      let i = this.pos;
      let c = 0x20;
      while (i < near && (c = bytes[i] as number) !== 0x22 && c !== 0x5c && c >= 0x20) i++;
      this.pos = i;
      if (i === near) this.skipFar();
      else if (c === 0x22) {
        this.pos = i + 1;
        return true;
      } else if (c === 0x5c) this.readEscape();
      else this.fail("invalid_json", i);
      if (this.failure !== undefined) return false;
    }
    return false;
  }

  protected readNumber(): boolean {
    const { bytes, pos } = this;
    const end = Math.min(this.length, pos + this.maxTokenBytes + 1);
    let i = bytes[pos] === 0x2d ? pos + 1 : pos;
    const whole = i < end && bytes[i] === 0x30 ? i + 1 : this.skipDigits(i, end);
    if (whole === i) return this.failNumber(i, end);
    i = whole;
    if (i < end && bytes[i] === 0x2e) {
      const fraction = this.skipDigits(i + 1, end);
      if (fraction === i + 1) return this.failNumber(fraction, end);
      i = fraction;
    }
    if (i < end && ((bytes[i] as number) | 0x20) === 0x65) {
      i++;
      if (i < end && (bytes[i] === 0x2b || bytes[i] === 0x2d)) i++;
      const exponent = this.skipDigits(i, end);
      if (exponent === i) return this.failNumber(i, end);
      i = exponent;
    }
    if (i - pos > this.maxTokenBytes) return this.fail("token_too_long", pos);
    this.pos = i;
    return true;
  }

  protected readLiteral(literal: string): boolean {
    for (let i = 0; i < literal.length; i++) {
      const at = this.pos + i;
      if (at >= this.length || this.bytes[at] !== literal.charCodeAt(i)) return this.fail("invalid_json", at);
    }
    this.pos += literal.length;
    return true;
  }

  private failNumber(at: number, end: number): false {
    if (at >= end && end < this.length) return this.fail("token_too_long", this.pos);
    return this.fail("invalid_json", at);
  }

  private skipDigits(from: number, end: number): number {
    const { bytes } = this;
    let i = from;
    while (i < end && (bytes[i] as number) >= 0x30 && (bytes[i] as number) <= 0x39) i++;
    return i;
  }

  /** Leaps to the next quote, backslash or end of the slice. */
  private skipFar(): void {
    const { bytes, pos, length } = this;
    if (this.nextQuote < pos) this.nextQuote = orEnd(bytes.indexOf(0x22, pos), length);
    if (this.nextBackslash < pos) this.nextBackslash = orEnd(bytes.indexOf(0x5c, pos), length);
    const stop = Math.min(this.nextQuote, this.nextBackslash, Math.max(pos, this.until));
    const control = this.findControl(pos, stop);
    if (control >= 0) this.fail("invalid_json", control);
    this.pos = stop;
  }

  /** Four bytes at a time, sixteen per turn. */
  private findControl(start: number, stop: number): number {
    if (stop - start < wordwiseBytes) return this.findControlByte(start, stop);
    const shift = (4 - (this.bytes.byteOffset & 3)) & 3;
    const words = (this.words ??= this.wordsFrom(shift));
    const first = (start - shift + 3) >> 2;
    const last = (stop - shift) >> 2;
    let w = first;
    for (; w + 4 <= last; w += 4) {
      const low = borrow(words[w]) | borrow(words[w + 1]) | borrow(words[w + 2]) | borrow(words[w + 3]);
      if ((low & topBits) !== 0) return this.findControlByte(w * 4 + shift, stop);
    }
    const head = this.findControlByte(start, first * 4 + shift);
    return head >= 0 ? head : this.findControlByte(w * 4 + shift, stop);
  }

  private wordsFrom(shift: number): Int32Array {
    const { bytes, length } = this;
    return new Int32Array(bytes.buffer, bytes.byteOffset + shift, Math.max(0, length - shift) >> 2);
  }

  private findControlByte(start: number, stop: number): number {
    const { bytes } = this;
    for (let i = start; i < stop; i++) if ((bytes[i] as number) < 0x20) return i;
    return -1;
  }

  private readEscape(): boolean {
    const { bytes, pos } = this;
    this.escaped = true;
    const letter = pos + 1 < this.length ? (bytes[pos + 1] as number) : 0;
    if (escapable[letter] === 1) {
      this.pos = pos + 2;
      return true;
    }
    if (letter !== 0x75) return this.fail("invalid_json", pos + 1);
    const unit = this.readUnit(pos);
    if (unit < 0) return false;
    this.pos = pos + 6;
    if ((unit & 0xf800) !== 0xd800) return true;
    if (unit >= 0xdc00 || !this.hasEscapeAt(pos + 6)) return this.fail("lone_surrogate", pos);
    const second = this.readUnit(pos + 6);
    if (second < 0) return false;
    if ((second & 0xfc00) !== 0xdc00) return this.fail("lone_surrogate", pos);
    this.pos = pos + 12;
    return true;
  }

  private hasEscapeAt(at: number): boolean {
    return at + 1 < this.length && this.bytes[at] === 0x5c && this.bytes[at + 1] === 0x75;
  }

  /** The UTF-16 unit of the escape `\uXXXX` at `at`; negative after a failure. */
  private readUnit(at: number): number {
    let unit = 0;
    for (let i = at + 2; i < at + 6; i++) {
      const digit = i < this.length ? hexDigit(this.bytes[i] as number) : -1;
      if (digit < 0) {
        this.fail("invalid_json", i);
        return -1;
      }
      unit = unit * 16 + digit;
    }
    return unit;
  }
}

function orEnd(index: number, length: number): number {
  return index < 0 ? length : index;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** A byte below 0x20 borrows into its top bit, which it does not have set itself. */
function borrow(word: number | undefined): number {
  return ((word as number) - 0x20202020) & ~(word as number);
}
