const farthest = 3;

const shortestBeginning = 4;

/** The word that a misspelt one, or the beginning of one, was probably meant to be. */
export function nearest(misspelt: string, words: Iterable<string>): string | undefined {
  const known = [...words];
  const begun = known.filter((word) => misspelt.length >= shortestBeginning && word.startsWith(misspelt));
  if (begun.length === 1) return begun[0];
  const [best] = known
    .map((word) => ({ word, distance: editDistance(word.toLowerCase(), misspelt.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.min(farthest, misspelt.length / 2) ? best.word : undefined;
}

/** Letters that were left out, added, exchanged for others or, next to each other, with one another. */
function editDistance(from: string, to: string): number {
  let beforeThat: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const isSwapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      const swap = isSwapped ? (beforeThat[column - 2] ?? Infinity) + 1 : Infinity;
      current.push(Math.min(substitution, swap, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    beforeThat = previous;
    previous = current;
  }
  return previous[to.length] ?? 0;
}
