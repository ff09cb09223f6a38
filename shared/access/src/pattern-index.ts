import { compilePattern, isExact, type Pattern } from "@sluice/contracts";

/** What is found by a pattern. It may stand in many indexes, so what is prepared of it is prepared once. */
export interface Indexed {
  readonly pattern: string;
  /** What comes first among those that fit a text. */
  readonly order: number;
  /** What a text must begin with to fit; undefined where the pattern is the text. */
  readonly start: string | undefined;
  readonly fits: Pattern;
}

/** A pattern as indexes hold it. */
export function indexed(pattern: string, order: number): Indexed {
  const start = isExact(pattern) ? undefined : pattern.slice(0, pattern.indexOf("*"));
  return { pattern, order, start, fits: compilePattern(pattern) };
}

/**
 * Finds what was added under patterns that fit a text: what is named exactly comes first, then the rest, each by its order.
 * Patterns are found by what they begin with, so their number hardly matters; those that begin with `*` are tried one by one.
 * What is added must come in order.
 */
export class PatternIndex<Item extends Indexed> {
  readonly #exact = new Map<string, Item[]>();
  readonly #wildcards = new Map<string, Item[]>();
  /** Of what the wildcard patterns begin with, shortest first. */
  #lengths: number[] = [];

  add(item: Item): void {
    const { pattern, start } = item;
    if (start === undefined) return append(this.#exact, pattern, item);
    append(this.#wildcards, start, item);
    if (!this.#lengths.includes(start.length))
      this.#lengths = [...this.#lengths, start.length].toSorted((a, b) => a - b);
  }

  get isEmpty(): boolean {
    return this.#exact.size === 0 && this.#wildcards.size === 0;
  }

  /** The first of what fits. */
  first(text: string): Item | undefined {
    return this.#exact.get(text)?.[0] ?? this.#firstWildcard(text);
  }

  all(text: string): readonly Item[] {
    const exact = this.#exact.get(text) ?? none;
    let found: Item[] | undefined;
    for (const length of this.#lengths) {
      if (length > text.length) break;
      const bucket = this.#wildcards.get(text.slice(0, length));
      if (bucket === undefined) continue;
      for (const item of bucket) if (item.fits(text)) (found ??= []).push(item);
    }
    if (found === undefined) return exact;
    found.sort((a, b) => a.order - b.order);
    return exact.length === 0 ? found : [...exact, ...found];
  }

  #firstWildcard(text: string): Item | undefined {
    let first: Item | undefined;
    for (const length of this.#lengths) {
      if (length > text.length) break;
      const fitting = this.#wildcards.get(text.slice(0, length))?.find(({ fits }) => fits(text));
      if (fitting !== undefined && (first === undefined || fitting.order < first.order)) first = fitting;
    }
    return first;
  }
}

/** Finds in several indexes as if they were one. */
export class JoinedIndexes<Item extends Indexed> {
  readonly #indexes: readonly PatternIndex<Item>[];

  constructor(indexes: readonly PatternIndex<Item>[]) {
    this.#indexes = indexes;
  }

  first(text: string): Item | undefined {
    let first: Item | undefined;
    for (const index of this.#indexes) {
      const found = index.first(text);
      if (found !== undefined && (first === undefined || compare(found, first) < 0)) first = found;
    }
    return first;
  }

  all(text: string): readonly Item[] {
    const [only, ...others] = this.#indexes;
    if (only === undefined) return none;
    return others.length === 0 ? only.all(text) : this.#indexes.flatMap((index) => index.all(text)).toSorted(compare);
  }
}

/** What is named exactly comes first. */
function compare(one: Indexed, other: Indexed): number {
  const names = one.start === undefined;
  if (names !== (other.start === undefined)) return names ? -1 : 1;
  return one.order - other.order;
}

const none: readonly never[] = [];

function append<Key, Item>(map: Map<Key, Item[]>, key: Key, item: Item): void {
  const items = map.get(key);
  if (items === undefined) map.set(key, [item]);
  else items.push(item);
}
