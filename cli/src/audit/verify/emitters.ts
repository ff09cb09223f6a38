import type { Facts } from "./entry.ts";
import type { Problems } from "./problem.ts";

const pageBits = 1 << 15;

/** Which numbers of a row were seen: a bit for each, in pages, so that a wild number costs one page. */
class Numbers {
  readonly #pages = new Map<number, Uint8Array>();
  count = 0;
  highest = 0;

  /** False where it was there already. */
  add(number: number): boolean {
    const page = Math.floor(number / pageBits);
    const bits = this.#pages.get(page) ?? new Uint8Array(pageBits / 8);
    this.#pages.set(page, bits);
    const [at, bit] = [(number % pageBits) >> 3, 1 << (number % 8)];
    if (((bits[at] as number) & bit) !== 0) return false;
    bits[at] = (bits[at] as number) | bit;
    this.count += 1;
    this.highest = Math.max(this.highest, number);
    return true;
  }

  /** How many there are up to this one. */
  upTo(last: number): number {
    let count = 0;
    for (const number of this.#ascending()) {
      if (number > last) break;
      count += 1;
    }
    return count;
  }

  /** The missing ones from 1 to `last`, as ranges; at most so many ranges. */
  missing(last: number, mostRanges: number): [number, number][] {
    const ranges: [number, number][] = [];
    let before = 0;
    for (const number of this.#ascending()) {
      if (number > last || ranges.length === mostRanges) break;
      if (number > before + 1) ranges.push([before + 1, number - 1]);
      before = number;
    }
    if (before < last && ranges.length < mostRanges) ranges.push([before + 1, last]);
    return ranges;
  }

  *#ascending(): Generator<number> {
    for (const [page, bits] of [...this.#pages].toSorted(([one], [other]) => one - other))
      for (let at = 0; at < pageBits; at += 1)
        if (((bits[at >> 3] as number) & (1 << (at % 8))) !== 0) yield page * pageBits + at;
  }
}

interface Emitter {
  readonly numbers: Numbers;
  service?: string;
  startedAt?: string;
  /** The number of its last word. */
  stopped?: number;
}

const shownRanges = 5;

/** What is told of those that did not say that they ended, or that can't be told for sure. */
export interface EmitterReport {
  /** How many emitters there are, and how many of them ended and left nothing out. */
  readonly emitters: number;
  readonly whole: number;
  readonly warnings: readonly string[];
}

/** Each emitter numbers its events from 1: a number that is nowhere is a lost event. */
export class Emitters {
  readonly #byName = new Map<string, Emitter>();
  readonly #problems: Problems;

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  take(log: string, index: number, { emitter: name, seq, kind, word, service, at }: Facts): void {
    if (name === undefined || seq === undefined) return;
    const emitter = this.#byName.get(name) ?? { numbers: new Numbers() };
    this.#byName.set(name, emitter);
    if (!emitter.numbers.add(seq))
      this.#problems.add({
        kind: "duplicate",
        log,
        index,
        text: `event ${index} has number ${seq} of emitter ${name}, which another event has too`,
      });
    if (kind !== "emitter" || word === "repeated") return;
    if (service !== undefined) emitter.service = service;
    if (word === "stopped") emitter.stopped = seq;
    else if (at !== undefined) emitter.startedAt = at;
  }

  /** @param removed how many events retention took, whose numbers nobody knows any more */
  report(removed: number): EmitterReport {
    let unknown = removed;
    let whole = 0;
    const warnings: string[] = [];
    for (const [name, emitter] of this.#byName) {
      const { numbers, stopped } = emitter;
      const last = stopped ?? numbers.highest;
      const missing = last - (last === numbers.highest ? numbers.count : numbers.upTo(last));
      const who = `emitter ${name}${emitter.service === undefined ? "" : ` (${emitter.service})`}`;
      if (missing > 0 && missing <= unknown) {
        unknown -= missing;
        warnings.push(`${who}: ${told(numbers, last, missing)} missing; retention may have removed them`);
      } else if (missing > 0 && stopped !== undefined)
        this.#problems.add({
          kind: "lost",
          text: `${who} told ${last} events, ${told(numbers, last, missing)} missing: they are lost`,
        });
      else if (missing > 0 || (stopped === undefined && !this.#isNewest(emitter)))
        warnings.push(
          `${who} told ${last} events and no end${missing === 0 ? "" : `, ${told(numbers, last, missing)} missing`}: it was killed, or runs still`,
        );
      else if (stopped !== undefined) whole += 1;
      if (numbers.highest > last) warnings.push(`${who} told events after its last word (${last})`);
    }
    return { emitters: this.#byName.size, whole, warnings };
  }

  #isNewest({ service, startedAt }: Emitter): boolean {
    return ![...this.#byName.values()].some(
      (other) => other.service === service && (other.startedAt ?? "") > (startedAt ?? ""),
    );
  }
}

/** `3 numbers (4–5, 9)`. */
function told(numbers: Numbers, last: number, missing: number): string {
  const ranges = numbers.missing(last, shownRanges + 1);
  const shown = ranges.slice(0, shownRanges).map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`));
  if (ranges.length > shownRanges) shown.push("…");
  return `${missing} number${missing === 1 ? "" : "s"} (${shown.join(", ")})`;
}
