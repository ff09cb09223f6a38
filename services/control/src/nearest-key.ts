import { confJsonSchema } from "./conf-json-schema.ts";

const farthest = 3;

/** The key of the configuration that a misspelt one was probably meant to be. */
export function nearestKey(misspelt: string): string | undefined {
  return nearest(misspelt, keysOf(confJsonSchema()));
}

/** The word that a misspelt one was probably meant to be. */
export function nearest(misspelt: string, words: Iterable<string>): string | undefined {
  const [best] = [...words]
    .map((word) => ({ word, distance: editDistance(word.toLowerCase(), misspelt.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.min(farthest, misspelt.length / 2) ? best.word : undefined;
}

function keysOf(schema: unknown, found = new Set<string>()): Set<string> {
  if (typeof schema !== "object" || schema === null) return found;
  for (const [name, value] of Object.entries(schema)) {
    if (name === "properties") for (const key of Object.keys(value as object)) found.add(key);
    keysOf(value, found);
  }
  return found;
}

function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
