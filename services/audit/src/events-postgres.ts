import { canonicalJson } from "@sluice/json";
import type { DatabaseOptions } from "@sluice/runtime";
import { Database, isFaultOfTheData } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import type { ClientBase } from "pg";
import { Edges } from "./edges-postgres.ts";
import type { NewEvent } from "./event-row.ts";
import { excessOf } from "./standing.ts";
import { insertEvents, type Growth, type Leaf } from "./insert-events.ts";
import { lockLogs, readStored, type Stored } from "./read-stored.ts";
import { dropStored, sortOut } from "./repeated.ts";
import { Sealing } from "./sealing.ts";
import { leafHash, type Edge, type Tile } from "./tree.ts";

/** Where events are kept for good. */
export interface Events {
  /**
   * Stores what is not stored yet, as leaves of its logs' trees, and resolves with how many that were, once they are on disk.
   * Where an event was stored before as told by another, or under another number, a word in its place says so.
   * @throws Unstorable where the rows themselves are refused, TrailBroken where the store is not what it was; anything else is a matter of time.
   */
  store(events: readonly NewEvent[]): Promise<number>;
  /**
   * Rejects while the store can't be reached, or is not what this version needs.
   * @returns what this login may do to the trail and should not
   */
  check(): Promise<string | undefined>;
}

/** The store takes these rows neither now nor later. */
export class Unstorable extends Error {
  override readonly name = "Unstorable";
}

/** Somebody else stored it in that moment: it is stored already when it is tried again. */
const uniqueViolation = "23505";

/** Events in the tables of the trail, which the owner of the database makes (`sluice audit migrate`). */
export class PostgresEvents implements Events, AsyncDisposable {
  readonly #database: Database;
  readonly #edges = new Edges();
  readonly #onStored: (log: string, size: number) => void;

  /** @param onStored hears after each commit how many events a log has now */
  constructor(options: DatabaseOptions, onStored: (log: string, size: number) => void = () => {}) {
    this.#onStored = onStored;
    this.#database = new Database(options, {
      name: "sluice-audit",
      ...auditSchema,
      migrates: false,
      connections: 2,
      connectTimeoutMs: 5_000,
      queryTimeoutMs: 30_000,
    });
  }

  async store(events: readonly NewEvent[]): Promise<number> {
    if (events.length === 0) return 0;
    return this.#database.use((client) => this.#transaction(client, events)).catch(asUnstorable);
  }

  check(): Promise<string | undefined> {
    return this.#database.use(excessOf);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#database[Symbol.asyncDispose]();
  }

  async #transaction(client: ClientBase, events: readonly NewEvent[]): Promise<number> {
    await lockLogs(client, events);
    try {
      const stored = await readStored(client, events, (log) => this.#edges.known(log));
      const { fresh, repeated } = sortOut(events, stored.origins);
      const rows = [...fresh, ...(await dropStored(client, repeated))];
      const edges = rows.length === 0 ? new Map<string, Edge>() : await this.#append(client, rows, stored);
      await client.query("commit");
      for (const [log, edge] of edges) {
        this.#edges.keep(log, edge);
        this.#onStored(log, edge.size);
      }
      return fresh.length;
    } catch (error) {
      // What the rows are at fault for leaves a connection that is used again.
      if (isFaultOfTheData(error)) await client.query("rollback");
      throw error;
    }
  }

  /** Gives the events the next places in their logs, and inserts all that follows from it. */
  async #append(client: ClientBase, fresh: readonly NewEvent[], stored: Stored): Promise<Map<string, Edge>> {
    const at = new Date();
    const sealing = new Sealing(stored.commitments);
    const edges = new Map<string, Edge>();
    for (const head of stored.heads)
      if (fresh.some(({ log }) => log === head.log)) edges.set(head.log, await this.#edges.at(client, head));
    const tiles = new Map<string, Tile[]>();
    const leaves = fresh.map((event): Leaf => {
      const edge = edges.get(event.log) as Edge;
      const columns = { ...event.columns, ...sealing.seal(event), stored_at: at.toISOString() };
      const leaf = { id: event.id, columns, index: edge.size, hash: leafHash(canonicalJson(columns)) };
      tiles.set(event.log, [...(tiles.get(event.log) ?? []), ...edge.append(leaf.hash)]);
      return leaf;
    });
    const growths = [...edges].map(([log, { size, root }]): Growth => ({
      log,
      size,
      root,
      tiles: tiles.get(log) ?? [],
    }));
    await insertEvents(client, { leaves, growths, sealing, at });
    return edges;
  }
}

function asUnstorable(error: unknown): never {
  if (isFaultOfTheData(error) && error.code !== uniqueViolation)
    throw new Unstorable(`the database refuses it: ${error.code}`, { cause: error });
  throw error;
}
