import { hash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import type { KeptPin, ServerPlace, ToolPinStore } from "@sluice/bus";
import {
  Fault,
  mostPinnedTools,
  type Action,
  type Observation,
  type ObservedDefinition,
  type ToolPin,
} from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import { pinAfter, type PinChange } from "./seen.ts";

export interface RegistryOptions {
  readonly store: () => Promise<ToolPinStore>;
  /** Resolves once the events are in the audit trail. @throws Fault */
  readonly record: (events: readonly Action[]) => Promise<void>;
  readonly log: Log;
  readonly now: () => number;
}

/** Somebody else may change a pin meanwhile, now and then. */
export const maxRounds = 8;
const atOnce = 64;
const longestTextBytes = 32 * 1024 * 1024;
const mostLogged = 20;

type Sighted = readonly [tool: string, definitions: readonly ObservedDefinition[]];

interface Change extends PinChange {
  readonly sighted: Sighted;
  readonly before: KeptPin | undefined;
}

/** Puts on record what servers show, each definition once however many replicas see it. */
export class ToolRegistry {
  readonly #options: RegistryOptions;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Gives back what is known of the tools then. @throws Fault `unavailable` where it could not be put on record */
  async observe({ tenant, server, isWhole, trustsFirstSight, definitions }: Observation): Promise<KeptPin[]> {
    const store = await this.#options.store();
    const place = { tenant, server };
    const isFirst = !(await store.isSeen(place));
    const first = isFirst && trustsFirstSight ? "approved" : "pending";
    const known: KeptPin[] = [];
    let todo: Sighted[] = [...Map.groupBy(definitions, ({ tool }) => tool)];
    for (let round = 0; todo.length > 0; round++) {
      if (round === maxRounds) throw new Fault("unavailable", "the tools are being changed by others all the time");
      const before = await inTurns(todo, ([tool]) => store.get(place, tool));
      const changes: Change[] = [];
      for (const [index, sighted] of todo.entries()) {
        const [tool, shown] = sighted;
        const kept = before[index];
        const sighting = { tool, hashes: shown.map((one) => one.hash), first, now: this.#options.now() } as const;
        const change = pinAfter(kept?.pin, sighting);
        if (change !== undefined) changes.push({ ...change, sighted, before: kept });
        else if (kept !== undefined) known.push(kept);
      }
      const { stored, lost } = await this.#store(store, place, changes);
      known.push(...stored);
      todo = lost;
    }
    if (isWhole && isFirst) await store.markSeen(place);
    return known;
  }

  /** What is not on record in the audit trail does not come into force: the trail is first. */
  async #store(
    store: ToolPinStore,
    place: ServerPlace,
    changes: readonly Change[],
  ): Promise<{ stored: KeptPin[]; lost: Sighted[] }> {
    if (changes.length === 0) return { stored: [], lost: [] };
    await this.#requireRoom(store, place, changes.filter(({ before }) => before === undefined).length);
    await inTurns(
      changes.flatMap(({ added, sighted: [, shown] }) =>
        shown.filter((one) => added.some((is) => is.hash === one.hash)),
      ),
      (one) => this.#keepText(store, place, one),
    );
    await this.#options.record(changes.flatMap((change) => eventsOf(place, change)));
    const revisions = await inTurns(changes, ({ pin, before }) => store.replace(place, pin, before?.revision));
    const stored: KeptPin[] = [];
    const lost: Sighted[] = [];
    for (const [index, { pin, sighted, dropped }] of changes.entries()) {
      const revision = revisions[index];
      if (revision === undefined) lost.push(sighted);
      else stored.push({ revision, pin });
      if (revision !== undefined) await inTurns(dropped, (one) => store.dropText(place, one));
    }
    this.#report(place, changes);
    return { stored, lost };
  }

  async #requireRoom(store: ToolPinStore, { tenant, server }: ServerPlace, more: number): Promise<void> {
    if (more === 0 || (await store.count(tenant, server)) + more <= mostPinnedTools) return;
    this.#options.log.warn(
      { tenant, server, mostPinnedTools },
      "a server lists more tools than are kept; the rest stays in quarantine",
    );
    throw new Fault("overloaded", "the server lists more tools than are kept");
  }

  /** A definition whose text can't be kept is known by its hash all the same. */
  async #keepText(
    store: ToolPinStore,
    place: ServerPlace,
    { text, hash: expected }: ObservedDefinition,
  ): Promise<void> {
    if (text === undefined) return;
    try {
      const gzipped = Buffer.from(text, "base64");
      const plain = gunzipSync(gzipped, { maxOutputLength: longestTextBytes });
      if (hash("sha256", plain, "hex") === expected) await store.keepText(place, expected, gzipped);
    } catch {
      this.#options.log.warn({ ...place, definition: expected }, "the text of a tool's definition could not be kept");
    }
  }

  #report(place: ServerPlace, changes: readonly Change[]): void {
    const waiting = changes.flatMap(({ pin, added }) =>
      added.filter(({ state }) => state === "pending").map((one) => ({ tool: pin.tool, definition: one.hash })),
    );
    for (const one of waiting.slice(0, mostLogged))
      this.#options.log.warn({ ...place, ...one }, "a tool's definition waits for approval");
  }
}

/** Every replica that sees the same writes the same event: the audit trail keeps it once. */
function eventsOf(place: ServerPlace, { pin, added, before }: Change): Action[] {
  const previous = lastApproved(before?.pin);
  return added.map((one) => ({
    id: `tool-${hash("sha256", JSON.stringify([place, pin.tool, one.hash, previous]), "hex").slice(0, 48)}`,
    at: one.seenAt,
    action: one.state === "approved" ? "tools.trusted" : "tools.pending",
    ...place,
    target: pin.tool,
    definition: one.hash,
    ...(previous !== undefined && { previousDefinition: previous }),
    result: "noted",
  }));
}

/** The definition that was approved last. */
export function lastApproved(pin: ToolPin | undefined): string | undefined {
  const approved = (pin?.definitions ?? []).filter(({ state }) => state === "approved");
  return approved.toSorted((one, other) => (one.decidedAt ?? 0) - (other.decidedAt ?? 0)).at(-1)?.hash;
}

async function inTurns<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < all.length; at += atOnce)
    results.push(...(await Promise.all(all.slice(at, at + atOnce).map(work))));
  return results;
}
