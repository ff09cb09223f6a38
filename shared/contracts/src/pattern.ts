/** Says whether a whole text fits a pattern. */
export type Pattern = (text: string) => boolean;

/**
 * In a pattern `*` stands for any run of characters, also an empty one; everything else stands for itself, code unit by
 * code unit, without folding or normalisation. Matching never goes back, so no text makes it slow.
 */
export function compilePattern(pattern: string): Pattern {
  const pieces = pattern.split("*");
  const [prefix = ""] = pieces;
  if (pieces.length === 1) return (text) => text === pattern;
  const suffix = pieces.at(-1) ?? "";
  const between = pieces.slice(1, -1).filter((piece) => piece !== "");
  return (text) => {
    const end = text.length - suffix.length;
    if (end < prefix.length || !text.startsWith(prefix) || !text.endsWith(suffix)) return false;
    let at = prefix.length;
    for (const piece of between) {
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return at <= end;
  };
}

/** Whether a pattern names exactly one text: itself. */
export function isExact(pattern: string): boolean {
  return !pattern.includes("*");
}
