import { compilePattern, isExact, type Pattern } from "@sluice/contracts";

interface Wildcard<Item> {
  readonly fits: Pattern;
  readonly order: number;
  readonly item: Item;
}

/**
 * Finds what was added under patterns that fit a text: what is named exactly comes first, then the rest in the order in
 * which it was added. Patterns are found by what they begin with, so their number hardly matters; those that begin with `*`
 * are tried one by one.
 */
export class PatternIndex<Item> {
  readonly #exact = new Map<string, Item[]>();
  readonly #wildcards = new Map<string, Wildcard<Item>[]>();
  /** Of what the wildcard patterns begin with, shortest first. */
  #lengths: number[] = [];
  #size = 0;

  add(pattern: string, item: Item): void {
    const order = this.#size++;
    if (isExact(pattern)) return append(this.#exact, pattern, item);
    const start = pattern.slice(0, pattern.indexOf("*"));
    append(this.#wildcards, start, { fits: compilePattern(pattern), order, item });
    if (!this.#lengths.includes(start.length)) this.#lengths = [...this.#lengths, start.length].sort((a, b) => a - b);
  }

  /** The first of what fits. */
  first(text: string): Item | undefined {
    return this.#exact.get(text)?.[0] ?? this.#firstWildcard(text)?.item;
  }

  all(text: string): readonly Item[] {
    const exact = this.#exact.get(text) ?? [];
    const found: Wildcard<Item>[] = [];
    for (const length of this.#lengths) {
      if (length > text.length) break;
      for (const wildcard of this.#wildcards.get(text.slice(0, length)) ?? [])
        if (wildcard.fits(text)) found.push(wildcard);
    }
    if (found.length === 0) return exact;
    return [...exact, ...found.sort((a, b) => a.order - b.order).map(({ item }) => item)];
  }

  #firstWildcard(text: string): Wildcard<Item> | undefined {
    let first: Wildcard<Item> | undefined;
    for (const length of this.#lengths) {
      if (length > text.length) break;
      const fitting = this.#wildcards.get(text.slice(0, length))?.find(({ fits }) => fits(text));
      if (fitting !== undefined && (first === undefined || fitting.order < first.order)) first = fitting;
    }
    return first;
  }
}

function append<Key, Item>(map: Map<Key, Item[]>, key: Key, item: Item): void {
  const items = map.get(key);
  if (items === undefined) map.set(key, [item]);
  else items.push(item);
}
