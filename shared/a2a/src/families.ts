import type { Dialect } from "@sluice/contracts";
import { coreWords } from "./core-words.ts";
import { firstWords } from "./first-words.ts";
import { legacyWords, protoWords } from "./later-words.ts";
import { StreamMemory } from "./stream-memory.ts";
import type { Sides } from "./wire.ts";
import type { Around, Words } from "./words.ts";

/** A new revision is one line here. */
export function wordsOf({ version, binding }: Dialect): Words {
  if (version === "1.0") return coreWords;
  if (version === "0.1") return firstWords;
  return binding === "JSONRPC" ? legacyWords : protoWords;
}

/** What translating between two sides may know. */
export function aroundOf({ client, named, context, hasTask, renames, memory }: Omit<Sides, "upstream">): Around {
  const task = client.version === "0.1" ? named?.task : undefined;
  return {
    ...(task !== undefined && { task }),
    ...(context !== undefined && { context }),
    hasTask: hasTask ?? (renames?.tasks ?? []).some(({ client: name }) => name === named?.task),
    memory: memory ?? new StreamMemory(),
  };
}
