import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { compile, scan } from "@sluice/json";
import { factsOf, type Closed, type Item, type LogSource, type StoredItem } from "./entry.ts";
import { entryHash, Malformed } from "./leaf.ts";
import type { Problems } from "./problem.ts";

/** Lines of a text file, which may be compressed by gzip. @throws Error that says why it can't be read */
export async function* linesOf(file: string): AsyncGenerator<string> {
  const handle = await open(file);
  const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0).finally(() => handle.close());
  const unzip = createGunzip();
  const isCompressed = buffer[0] === 0x1f && buffer[1] === 0x8b;
  const bytes = createReadStream(file);
  const text = isCompressed ? bytes.on("error", (error) => unzip.destroy(error)).pipe(unzip) : bytes;
  let rest = "";
  for await (const chunk of text.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() as string;
    yield* lines.map(withoutReturn);
  }
  if (rest !== "") yield withoutReturn(rest);
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}

/** A line that is no entry. */
export interface CheckpointLine {
  readonly checkpoint: string;
  readonly key: string | undefined;
}

type Line = { readonly log: string; readonly item: Item } | CheckpointLine | { readonly fault: string };

const itemsAtOnce = 500;

export interface ExportOptions {
  readonly problems: Problems;
  readonly onCheckpoint: (line: CheckpointLine) => void;
}

/** An export as `exportEntries` writes it. */
export class ExportReader {
  readonly #lines: AsyncIterator<string>;
  readonly #options: ExportOptions;
  readonly #ahead: Line[] = [];
  #number = 0;
  readonly #seen = new Set<string>();

  constructor(lines: AsyncIterator<string>, options: ExportOptions) {
    this.#lines = lines;
    this.#options = options;
  }

  /** One log after the other; each is to be read to its end before the next one is asked for. */
  async *logs(): AsyncGenerator<LogSource> {
    for (let line = await this.#peek(0); line !== undefined; line = await this.#peek(0)) {
      if ("log" in line) {
        const { log } = line;
        if (this.#seen.has(log)) this.#stray(log, line.item.index, "stand at two places of the export");
        this.#seen.add(log);
        yield { log, items: () => this.#itemsOf(log) };
      } else {
        this.#ahead.shift();
        if ("checkpoint" in line) this.#takeCheckpoint(line);
        else this.#options.problems.add({ kind: "malformed", text: line.fault });
      }
    }
  }

  async *#itemsOf(log: string): AsyncGenerator<Item[]> {
    let next = 0;
    let items: Item[] = [];
    for (let line = await this.#peek(0); line !== undefined; line = await this.#peek(0)) {
      if ("log" in line && line.log === log) {
        items.push(line.item);
        next = line.item.index + 1;
      } else if ("checkpoint" in line) this.#takeCheckpoint(line);
      else if ("fault" in line)
        this.#options.problems.add({
          kind: "malformed",
          log,
          index: next,
          text: `in the place of event ${next}: ${line.fault}`,
        });
      else if (await this.#goesOn(log)) this.#stray(log, next, `is one of the log ${line.log} among them`);
      else break;
      this.#ahead.shift();
      if (items.length < itemsAtOnce) continue;
      yield items;
      items = [];
    }
    yield items;
  }

  /** Whether this log goes on behind the next line. */
  async #goesOn(log: string): Promise<boolean> {
    const second = await this.#peek(1);
    return second !== undefined && "log" in second && second.log === log;
  }

  #takeCheckpoint(line: CheckpointLine): void {
    if (this.#seen.size === 0) this.#options.onCheckpoint(line);
    else
      this.#options.problems.add({
        kind: "checkpoint",
        text: "a checkpoint stands behind the first entry: they have to come first",
      });
  }

  #stray(log: string, index: number, what: string): void {
    this.#options.problems.add({ kind: "foreign", log, index, text: `entries of the log: at event ${index} ${what}` });
  }

  async #peek(at: number): Promise<Line | undefined> {
    while (this.#ahead.length <= at) {
      const { done, value } = await this.#lines.next();
      if (done === true) return undefined;
      this.#number += 1;
      if (value !== "") this.#ahead.push(readLine(value, this.#number));
    }
    return this.#ahead[at];
  }
}

function readLine(text: string, number: number): Line {
  try {
    const line: unknown = JSON.parse(text);
    if (!isObject(line)) throw new Malformed("it is no object");
    if (JSON.stringify(line) !== text) requireOneMeaning(text);
    if (isCheckpoint(line)) return { checkpoint: line["checkpoint"] as string, key: line["key"] as string | undefined };
    return { log: line["log"] as string, item: itemOf(line) };
  } catch (error) {
    if (error instanceof SyntaxError) return { fault: `line ${number} is no JSON` };
    if (error instanceof Malformed) return { fault: `line ${number}: ${error.message}` };
    if (error instanceof RangeError) return { fault: `line ${number}: it is nested too deep` };
    throw error;
  }
}

const nothing = compile([], []);
const limits = { maxDepth: 1_000, maxTokenBytes: 1 << 20 };

const stringsAndNumbers = /"(?:[^"\\]+|\\.)*"|-?\d[\d.eE+-]*/g;

/** A name that stands twice in an object is read in one way here and in another elsewhere, as is a number of too many digits. @throws Malformed */
function requireOneMeaning(text: string): void {
  const result = scan(Buffer.from(text), nothing, limits);
  if (!result.ok) throw new Malformed(`it can be read in more than one way (${result.error.kind})`);
  for (const [token] of text.matchAll(stringsAndNumbers))
    if (!token.startsWith('"') && JSON.stringify(Number(token)) !== token)
      throw new Malformed(`it can be read in more than one way (a number is not written as ${Number(token)})`);
}

function isCheckpoint(line: Readonly<Record<string, unknown>>): boolean {
  if (!("checkpoint" in line)) return false;
  const { checkpoint, key, ...others } = line;
  const isOne = typeof checkpoint === "string" && (key === undefined || typeof key === "string");
  if (!isOne || Object.keys(others).length > 0) throw new Malformed("it is no checkpoint");
  return true;
}

function itemOf(line: Readonly<Record<string, unknown>>): Item {
  const { log, index, event, sealed, hash, ...others } = line;
  const hasPlace = typeof log === "string" && Number.isSafeInteger(index) && (index as number) >= 0;
  if (!hasPlace || Object.keys(others).length > 0) throw new Malformed("it is no entry of a log");
  const told = hash === undefined ? undefined : hashOf(hash);
  if (event === undefined && sealed === undefined && told !== undefined) return { index: index as number, hash: told };
  if (!isObject(event) || !isObject(sealed)) throw new Malformed("it has no event");
  return storedOf(index as number, { event, sealed }, told);
}

function storedOf(
  index: number,
  entry: { event: Readonly<Record<string, unknown>>; sealed: Readonly<Record<string, unknown>> },
  told: Buffer | undefined,
): StoredItem {
  const { event } = entry;
  const facts = {
    index,
    id: String(event["event_id"]),
    ...(told !== undefined && { told }),
    of: typeof event["log"] === "string" ? event["log"] : undefined,
    facts: factsOf(event),
    closed: closedIn(entry.sealed),
  };
  try {
    return { ...facts, leaf: entryHash(entry) };
  } catch (error) {
    if (error instanceof Malformed) return { ...facts, fault: error.message };
    throw error;
  }
}

function closedIn(sealed: Readonly<Record<string, unknown>>): Closed[] {
  return Object.entries(sealed).flatMap(([column, seal]) =>
    isObject(seal) && typeof seal["commitment"] === "string" ? [{ column, commitment: seal["commitment"] }] : [],
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hashOf(text: unknown): Buffer {
  if (typeof text !== "string" || !/^[0-9a-f]{64}$/.test(text)) throw new Malformed("its hash is no hash");
  return Buffer.from(text, "hex");
}
