import type { NameSpan } from "./names.ts";

const linearLimit = 32;

/**
 * The names each open object has shown so far. Small objects are compared by hash in one flat stack; larger ones
 * move to a Set, so that the cost per name stays constant whatever is sent.
 */
export class SeenNames {
  private hashes: number[] = [];
  private starts: number[] = [];
  private ends: number[] = [];
  private decoded: (Buffer | undefined)[] = [];
  private top = 0;

  /** Opens an object: what it gives back belongs to `add` and `close`. */
  open(): number {
    return this.top;
  }

  close(base: number): void {
    this.top = base;
  }

  clear(): void {
    this.top = 0;
    this.decoded.length = 0;
  }

  /** False when the object that began at `base` has this name already. */
  add(base: number, bytes: Buffer, name: NameSpan): boolean {
    for (let i = base; i < this.top; i++) {
      if (this.hashes[i] === name.hash && this.equals(i, bytes, name)) return false;
    }
    const { top } = this;
    this.hashes[top] = name.hash;
    this.starts[top] = name.start;
    this.ends[top] = name.end;
    this.decoded[top] = name.decoded;
    this.top = top + 1;
    return true;
  }

  /** The names of an object that outgrew the linear comparison, as a Set for `addTo`; undefined while it is small. */
  outgrown(base: number, bytes: Buffer): Set<string> | undefined {
    if (this.top - base < linearLimit) return undefined;
    const names = new Set<string>();
    for (let i = base; i < this.top; i++) {
      names.add(setKey(bytes, { start: this.starts[i] ?? 0, end: this.ends[i] ?? 0, decoded: this.decoded[i] }));
    }
    this.top = base;
    return names;
  }

  private equals(i: number, bytes: Buffer, name: NameSpan): boolean {
    const start = this.starts[i] as number;
    const end = this.ends[i] as number;
    const earlier = this.decoded[i];
    if (earlier === undefined && name.decoded === undefined) {
      return bytes.compare(bytes, start, end, name.start, name.end) === 0;
    }
    return (earlier ?? bytes.subarray(start, end)).equals(name.decoded ?? bytes.subarray(name.start, name.end));
  }
}

/** False when the Set has this name already. */
export function addTo(names: Set<string>, bytes: Buffer, name: NameSpan): boolean {
  const before = names.size;
  names.add(setKey(bytes, name));
  return names.size !== before;
}

// The quote before the name stays in the key: V8 hashes strings that look like array indexes without its random seed.
function setKey(bytes: Buffer, { start, end, decoded }: Pick<NameSpan, "start" | "end" | "decoded">): string {
  return decoded === undefined ? bytes.toString("latin1", start - 1, end) : `"${decoded.toString("latin1")}`;
}
