import { isAlias, isMap, isNode, isPair, isScalar, isSeq, type Document, type Pair, type YAMLMap } from "yaml";

const mergeKey = "<<";

/** Where the path's last part that exists is written: its key, or the item itself in a list. Anchors lead to where they stand. */
export function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const part of path) {
    node = resolved(document, node);
    if (isMap(node)) {
      const pair = pairOf(document, node, String(part));
      if (pair === undefined) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else {
      node = isSeq(node) ? node.items[Number(part)] : undefined;
      offset = startOf(resolved(document, node)) ?? offset;
    }
  }
  return offset;
}

/** Where a node begins in the text. */
export function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

/** The map's own entry of this name, else the one that it gets by a merge (`<<`). */
function pairOf(document: Document, map: YAMLMap, name: string): Pair | undefined {
  const own = map.items.find((pair) => isPair(pair) && nameOf(pair) === name);
  if (own !== undefined) return own;
  for (const merge of map.items.filter((pair) => nameOf(pair) === mergeKey)) {
    const value = resolved(document, merge.value);
    for (const source of isSeq(value) ? value.items : [value]) {
      const merged = resolved(document, source);
      const found = isMap(merged) ? pairOf(document, merged, name) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function nameOf({ key }: Pair): string {
  const { value } = isScalar(key) ? key : { value: key };
  return typeof value === "symbol" ? (value.description ?? "") : String(value);
}

function resolved(document: Document, node: unknown): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}
