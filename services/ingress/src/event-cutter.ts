const lf = 0x0a;
const newline = Buffer.from("\n");
const nothing = Buffer.alloc(0);

/** The data of an event, and its id where it has one. */
export interface CutEvent {
  readonly data: Buffer;
  readonly id: string | undefined;
}

/** Takes the data out of a reply stream, whose lines end with LF as egress writes them. */
export class EventCutter {
  /** The id of the last event, where events have one. */
  lastId: string | undefined;
  #rest: Buffer[] = [];
  #data: Buffer[] = [];
  #id: string | undefined;
  #held = 0;

  /** Bytes of the event that has not ended yet. */
  get held(): number {
    return this.#held;
  }

  /** The data of each event that ends in this chunk; events without data give none. */
  push(chunk: Buffer): Buffer[] {
    return this.events(chunk).map(({ data }) => data);
  }

  /** The same, with their ids. */
  events(chunk: Buffer): CutEvent[] {
    const ended: CutEvent[] = [];
    let pos = 0;
    for (let end = chunk.indexOf(lf); end !== -1; end = chunk.indexOf(lf, pos)) {
      this.#line(this.#whole(chunk.subarray(pos, end)), ended);
      pos = end + 1;
    }
    if (pos < chunk.length) {
      this.#rest.push(Buffer.from(chunk.subarray(pos)));
      this.#held += chunk.length - pos;
    }
    return ended;
  }

  #whole(end: Buffer): Buffer {
    if (this.#rest.length === 0) return end;
    const line = Buffer.concat([...this.#rest, end]);
    this.#rest = [];
    return line;
  }

  #line(line: Buffer, ended: CutEvent[]): void {
    if (line.length === 0) {
      if (this.#id !== undefined) this.lastId = this.#id;
      if (this.#data.some(({ length }) => length > 0)) ended.push({ data: joined(this.#data), id: this.#id });
      this.#data = [];
      this.#id = undefined;
      this.#held = 0;
    } else if (startsWith(line, "data:")) {
      const data = Buffer.from(valueOf(line, "data:"));
      this.#data.push(data);
      this.#held += data.length;
    } else if (startsWith(line, "id:")) this.#id = valueOf(line, "id:").toString("latin1");
  }
}

function startsWith(line: Buffer, field: string): boolean {
  return line.length >= field.length && line.toString("latin1", 0, field.length) === field;
}

function valueOf(line: Buffer, field: string): Buffer {
  return line.subarray(line[field.length] === 0x20 ? field.length + 1 : field.length);
}

function joined(lines: Buffer[]): Buffer {
  if (lines.length === 1) return lines[0] ?? nothing;
  return Buffer.concat(lines.flatMap((line, index) => (index === 0 ? [line] : [newline, line])));
}
