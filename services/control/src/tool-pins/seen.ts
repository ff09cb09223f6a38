import {
  firstSight,
  mostDefinitionsPerTool,
  type PinState,
  type SeenDefinition,
  type ToolPin,
} from "@sluice/contracts";

/** A server that shows a new definition again and again is not followed more closely than so. */
const pendingFollowed = 4;
const followEveryMs = 10_000;

export interface Sighting {
  readonly tool: string;
  readonly hashes: readonly string[];
  /** What a tool's first definition becomes. */
  readonly first: PinState;
  readonly now: number;
}

/** What a sighting changes. */
export interface PinChange {
  readonly pin: ToolPin;
  readonly added: readonly SeenDefinition[];
  /** Hashes of what had to make room. */
  readonly dropped: readonly string[];
}

/** A tool's pin after it was seen with these definitions; undefined where that changes nothing. */
export function pinAfter(before: ToolPin | undefined, { tool, hashes, first, now }: Sighting): PinChange | undefined {
  const known = before?.definitions ?? [];
  const fresh = [...new Set(hashes)].filter((hash) => !known.some((one) => one.hash === hash));
  if (fresh.length === 0 || isRestless(known, now)) return undefined;
  const added = fresh.map((hash, index): SeenDefinition => {
    const state = known.length === 0 && index === 0 ? first : "pending";
    return { hash, state, seenAt: now, ...(state === "approved" && { decidedAt: now, by: firstSight }) };
  });
  const all = [...known, ...added];
  const dropped = new Set<SeenDefinition>();
  for (const isSpared of [({ state }: SeenDefinition) => state === "approved", () => false])
    for (const one of known) if (all.length - dropped.size > mostDefinitionsPerTool && !isSpared(one)) dropped.add(one);
  const definitions = all.filter((one) => !dropped.has(one)).slice(0, mostDefinitionsPerTool);
  return {
    pin: { tool, definitions },
    added: added.filter((one) => definitions.includes(one)),
    dropped: [...dropped].map(({ hash }) => hash),
  };
}

function isRestless(known: readonly SeenDefinition[], now: number): boolean {
  const pending = known.filter(({ state }) => state === "pending");
  return pending.length >= pendingFollowed && pending.some(({ seenAt }) => now - seenAt < followEveryMs);
}
