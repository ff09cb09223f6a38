import { upstreamNameOf, type Dialect, type Named, type Renames } from "@sluice/contracts";
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
  const inContext = context ?? contextFor(named, renames);
  return {
    ...(task !== undefined && { task }),
    ...(inContext !== undefined && { context: inContext }),
    hasTask: hasTask ?? (renames?.tasks ?? []).some(({ client: name }) => name === named?.task),
    memory: memory ?? new StreamMemory(),
  };
}

/** What the agent calls the context that a request names. */
function contextFor(named: Named | undefined, renames: Renames | undefined): string | undefined {
  return named?.context === undefined ? undefined : upstreamNameOf(named.context, renames?.contexts);
}
