import { Cursor } from "./cursor.ts";
import { Frame } from "./frame.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { hashByte, hashedBytes, hashEnd, hashName, isName, NameSpan, nameText, shadows } from "./names.ts";
import { elementName, none, type Plan, type PlanNode } from "./plan.ts";
import { JsonRange, text, type JsonKind } from "./range.ts";
import { addTo, SeenNames } from "./seen-names.ts";

const inString = 0;
const inName = 1;
const expectValue = 2;
const expectValueOrEnd = 3;
const expectName = 4;
const expectNameOrEnd = 5;
const expectColon = 6;
const afterValue = 7;
const done = 8;

const slowNameBytes = 256;

/** A resumable reading of one document: `load` it, then `advance` until that says true. */
export class Scanner extends Cursor {
  root: JsonRange | undefined = undefined;
  values: (JsonRange | undefined)[] = [];
  private limits: Limits = defaultLimits;
  private state = expectValue;
  private depth = 0;
  private readonly frames: Frame[] = [new Frame()];
  private frame = this.frames[0] as Frame;
  private next: PlanNode | undefined = undefined;
  private current: JsonRange | undefined = undefined;
  private naming = false;
  private itemCount = 0;
  private readonly name = new NameSpan();
  private memberName = "";
  private readonly seen = new SeenNames();

  start(bytes: Buffer, plan: Plan, limits: Limits): void {
    this.load(bytes, limits.maxTokenBytes);
    this.limits = limits;
    this.root = undefined;
    this.values = plan.absent.slice();
    this.state = expectValue;
    this.depth = 0;
    this.frame = this.frames[0] as Frame;
    this.next = plan.root;
    this.itemCount = 0;
  }

  /** Lets go of the document, so that a scanner that is kept keeps nothing else alive. */
  release(): void {
    this.unload();
    for (const frame of this.frames) {
      frame.range = undefined;
      frame.list = undefined;
      frame.names = undefined;
    }
    this.root = undefined;
    this.values = [];
    this.current = undefined;
    this.name.decoded = undefined;
    this.memberName = "";
    this.seen.clear();
  }

  /** Reads on for about this many bytes; true once the document is read or refused (`failure`). */
  advance(sliceBytes: number): boolean {
    this.until = Math.min(this.length, this.pos + sliceBytes);
    while (this.pos < this.until && this.failure === undefined) this.step();
    if (this.failure !== undefined) return true;
    if (this.pos < this.length) return false;
    if (this.state !== done) this.fail("invalid_json", this.length);
    return true;
  }

  private step(): void {
    if (this.state === inString) return this.continueString();
    if (this.state === inName) return this.continueName();
    const c = this.bytes[this.pos] as number;
    if (c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09) {
      this.pos++;
      return;
    }
    switch (this.state) {
      case expectColon:
        if (c !== 0x3a) return this.refuse();
        this.pos++;
        this.state = expectValue;
        return;
      case afterValue:
        return this.afterValue(c);
      case expectNameOrEnd:
        if (c === 0x7d) return this.close();
        return c === 0x22 ? this.beginName() : this.refuse();
      case expectName:
        return c === 0x22 ? this.beginName() : this.refuse();
      case expectValueOrEnd:
        return c === 0x5d ? this.close() : this.beginValue(c);
      case expectValue:
        return this.beginValue(c);
      default:
        return this.refuse();
    }
  }

  private refuse(): void {
    this.fail("invalid_json", this.pos);
  }

  private afterValue(c: number): void {
    const { frame } = this;
    if (c === 0x2c) {
      this.pos++;
      this.state = frame.array ? expectValue : expectName;
      if (frame.array) this.next = frame.node;
    } else if (c === (frame.array ? 0x5d : 0x7d)) this.close();
    else this.refuse();
  }

  private beginValue(c: number): void {
    switch (c) {
      case 0x22:
        this.note("string");
        this.pos++;
        this.escaped = false;
        this.state = inString;
        return this.continueString();
      case 0x7b:
        return this.open("object");
      case 0x5b:
        return this.open("array");
      case 0x74:
        this.note("true");
        return this.endScalar(this.readLiteral("true"));
      case 0x66:
        this.note("false");
        return this.endScalar(this.readLiteral("false"));
      case 0x6e:
        this.note("null");
        return this.endScalar(this.readLiteral("null"));
      default:
        if (c !== 0x2d && (c < 0x30 || c > 0x39)) return this.refuse();
        this.note("number");
        return this.endScalar(this.readNumber());
    }
  }

  /** Counts the value that begins here and, if anyone wants it, makes its range `current`. */
  private note(kind: JsonKind): void {
    const { next: node, frame } = this;
    frame.count++;
    this.current = undefined;
    this.naming = false;
    const { list } = frame;
    if (list === undefined && this.depth > 0 && (node === undefined || node.index === none)) return;
    const range = (this.current = new JsonRange(kind, this.pos));
    if (this.depth === 0) this.root = range;
    if (node !== undefined && node.index >= 0) this.values[node.index] = range;
    this.naming = node !== undefined && node.index === elementName;
    if (list === undefined) return;
    if (++this.itemCount > this.limits.maxItems) this.fail("too_many_items", this.pos);
    if (!frame.array) range.name = this.memberName;
    list.push(range);
  }

  private endScalar(complete: boolean): void {
    if (!complete) return;
    if (this.current !== undefined) this.current.end = this.pos;
    this.state = this.depth === 0 ? done : afterValue;
  }

  private continueString(): void {
    if (!this.readString()) return;
    const { current } = this;
    if (current !== undefined) {
      current.end = this.pos;
      current.escaped = this.escaped;
      if (this.naming) this.nameItem(current);
    }
    this.state = this.depth === 0 ? done : afterValue;
  }

  private nameItem(range: JsonRange): void {
    if (range.end - range.start - 2 > this.limits.maxTokenBytes) this.fail("token_too_long", range.start);
    else if (this.frame.range !== undefined) this.frame.range.name = text(this.bytes, range);
  }

  private open(kind: "object" | "array"): void {
    const node = this.next;
    this.note(kind);
    if (this.depth >= this.limits.maxDepth) {
      this.fail("too_deep", this.pos);
      return;
    }
    const depth = ++this.depth;
    const frame = (this.frames[depth] ??= new Frame());
    const array = kind === "array";
    frame.array = array;
    frame.node = array ? node?.element : node;
    frame.range = this.current;
    frame.list = undefined;
    frame.count = 0;
    frame.base = this.seen.open();
    frame.names = undefined;
    if (node?.items === true && this.current !== undefined) frame.list = this.current.items = [];
    this.frame = frame;
    this.next = array ? frame.node : undefined;
    this.pos++;
    this.state = array ? expectValueOrEnd : expectNameOrEnd;
  }

  private close(): void {
    const { frame } = this;
    this.pos++;
    if (frame.range !== undefined) {
      frame.range.end = this.pos;
      frame.range.count = frame.count;
    }
    this.seen.close(frame.base);
    frame.names = undefined;
    this.frame = this.frames[--this.depth] as Frame;
    this.state = this.depth === 0 ? done : afterValue;
  }

  private beginName(): void {
    const { bytes, name } = this;
    const start = ++this.pos;
    const near = Math.min(start + hashedBytes, this.length);
    let hash = 0;
    let union = 0;
    let c = 0;
    let i = start;
    while (i < near && (c = bytes[i] as number) !== 0x22 && c !== 0x5c && c >= 0x20) {
      hash = hashByte(hash, c);
      union |= c;
      i++;
    }
    name.start = start;
    name.decoded = undefined;
    if (i < near && c === 0x22) {
      name.end = i;
      name.hash = hashEnd(hash, i - start);
      name.ascii = union < 0x80;
      this.pos = i + 1;
      return this.endName();
    }
    this.pos = i;
    this.escaped = false;
    this.state = inName;
  }

  private continueName(): void {
    if (!this.readString()) return;
    const { bytes, name } = this;
    name.end = this.pos - 1;
    if (name.end - name.start > this.limits.maxTokenBytes) {
      this.fail("token_too_long", name.start - 1);
      return;
    }
    if (this.escaped)
      name.decoded = Buffer.from(JSON.parse(bytes.toString("utf8", name.start - 1, this.pos)) as string);
    name.hash = hashName(name.decoded ?? bytes.subarray(name.start, name.end));
    name.ascii = false;
    this.until -= slowNameBytes;
    this.endName();
  }

  private endName(): void {
    const { bytes, frame, name, seen } = this;
    frame.names ??= seen.outgrown(frame.base, bytes);
    const added = frame.names === undefined ? seen.add(frame.base, bytes, name) : addTo(frame.names, bytes, name);
    if (!added) this.fail("duplicate_key", name.start - 1);
    if (frame.node === undefined) this.next = undefined;
    else this.follow(frame.node);
    if (frame.list !== undefined) this.memberName = nameText(bytes, name);
    this.state = expectColon;
  }

  /** Makes the plan's child of this name the node of the next value, or checks that the name is no disguise. */
  private follow(node: PlanNode): void {
    const { bytes, name } = this;
    const { children, reserved } = node;
    this.next = undefined;
    for (let i = 0; i < children.length; i++) {
      const child = children[i] as PlanNode["children"][number];
      if (child.hash === name.hash && isName(bytes, name, child.encoded)) {
        this.next = child.node;
        return;
      }
    }
    if (reserved === undefined) return;
    if (!name.ascii) this.until -= slowNameBytes;
    if (shadows(reserved, bytes, name)) this.fail("ambiguous_key", name.start - 1);
  }
}
