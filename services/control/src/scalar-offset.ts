import { isMap, isScalar, isSeq, Scalar, type Document } from "yaml";

interface Within {
  readonly text: string;
  readonly path: readonly PropertyKey[];
  /** Characters of the value before the place that is looked for. */
  readonly offset: number;
}

interface Block {
  readonly value: string;
  readonly written: string;
  readonly offset: number;
  readonly start: number;
}

/** Where in the file a place within a value stands; undefined where the file writes the value otherwise than it is (escapes, folded lines). */
export function offsetWithin(document: Document, { text, path, offset }: Within): number | undefined {
  let node: unknown = document.contents;
  for (const part of path) node = isMap(node) || isSeq(node) ? node.get(part, true) : undefined;
  if (!isScalar(node) || typeof node.value !== "string") return undefined;
  const [start, end] = node.range ?? [0, 0];
  const written = text.slice(start, end);
  if (node.type === Scalar.BLOCK_LITERAL) return withinBlock({ value: node.value, written, offset, start });
  const at = written.indexOf(node.value);
  return at < 0 ? undefined : start + at + offset;
}

/** After `|` each line is written as it is, but for what it is indented by. */
function withinBlock({ value, written, offset, start }: Block): number | undefined {
  const before = value.slice(0, offset).split("\n");
  const line = value.split("\n")[before.length - 1] ?? "";
  const writtenLines = written.split("\n");
  const writtenLine = writtenLines[before.length];
  if (writtenLine === undefined || !writtenLine.endsWith(line)) return undefined;
  const lineStart = writtenLines.slice(0, before.length).reduce((sum, { length }) => sum + length + 1, start);
  return lineStart + writtenLine.length - line.length + (before.at(-1)?.length ?? 0);
}
