// For tests: changes of single values.
/** Every place of an entry that holds a value: strings, numbers, booleans, in lists and objects too. */
export function placesOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [[...path]];
  return Object.entries(value).flatMap(([name, inner]) => placesOf(inner, [...path, name]));
}

export function flipAt(entry: object, path: readonly string[]): void {
  const holder = path
    .slice(0, -1)
    .reduce((at, name) => at[name] as Record<string, unknown>, entry as Record<string, unknown>);
  const name = path.at(-1) as string;
  holder[name] = flipped(holder[name]);
}

function flipped(value: unknown): unknown {
  if (typeof value === "string") return `${String.fromCharCode(value.charCodeAt(0) ^ 1)}${value.slice(1)}`;
  if (typeof value === "number") return value * 2 + 1;
  return typeof value === "boolean" ? !value : 0;
}
