import type { StoredItem } from "./entry.ts";
import type { Problem } from "./problem.ts";

/** An event that gives another hash than was stored for it. */
export type Suspect = StoredItem & { readonly leaf: Buffer };

/** What is wrong with them: the events (`recorded` is right), or the hashes beside them (`content` is right). */
export function settled(log: string, suspects: readonly Suspect[], right: "content" | "recorded"): Problem[] {
  if (right === "content") return suspects.map((suspect) => ofHash(log, suspect));
  const byLeaf = new Map(suspects.map((suspect) => [suspect.leaf.toString("hex"), suspect]));
  const done = new Set<number>();
  return suspects.flatMap((suspect) => {
    if (done.has(suspect.index)) return [];
    const rightful = byLeaf.get(storedOf(suspect).toString("hex"));
    const isSwap = rightful !== undefined && storedOf(rightful).equals(suspect.leaf);
    if (isSwap) done.add(rightful.index);
    return isSwap ? [ofSwap(log, suspect, rightful)] : [ofEvent(log, suspect, rightful)];
  });
}

function ofHash(log: string, { index, id, leaf, tile }: Suspect): Problem {
  return tile?.equals(leaf) === false
    ? {
        kind: "tile",
        log,
        index,
        text: `the tile of event ${index} was changed: the event (${id}) is as it was signed`,
      }
    : {
        kind: "leaf-hash",
        log,
        index,
        text: `the leaf hash beside event ${index} was changed: the event (${id}) itself is as the tree has it`,
      };
}

function ofSwap(log: string, { index, id }: Suspect, other: Suspect): Problem {
  return {
    kind: "swapped",
    log,
    index,
    last: other.index,
    text: `events ${index} (${id}) and ${other.index} (${other.id}) are swapped`,
  };
}

function ofEvent(log: string, { index, id, leaf, told, tile }: Suspect, rightful: Suspect | undefined): Problem {
  const why =
    told?.equals(leaf) === false
      ? "its content does not give the hash of its leaf"
      : tile === undefined
        ? "the tree has another"
        : "the tree has another event there";
  const moved = rightful === undefined ? "" : `; what belongs there stands as event ${rightful.index}`;
  return { kind: "changed", log, index, text: `event ${index} (${id}) was changed: ${why}${moved}` };
}

function storedOf({ tile, told, leaf }: Suspect): Buffer {
  return tile ?? told ?? leaf;
}
