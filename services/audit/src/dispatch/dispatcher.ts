import { isDeepStrictEqual } from "node:util";
import { destinationName, type AuditSection, type Destination } from "@sluice/contracts";
import type { Database } from "@sluice/runtime/postgres";
import { describeError, type Log } from "@sluice/telemetry";
import type { ClientBase } from "pg";
import { formats } from "../formats/index.ts";
import { openSink } from "../sinks/index.ts";
import type { SinkContext } from "../sinks/sink.ts";
import { Follower, type Trail } from "./follower.ts";
import type { DestinationMetrics } from "./metrics.ts";
import { sleep, type Pauses } from "./pauses.ts";
import { lockShards, readHeads, readPlaces, shardOf, type Place, type Target } from "./places.ts";

export interface DispatcherOptions {
  /** For one connection, which holds the locks. */
  readonly locks: Pick<Database, "use">;
  readonly trail: Trail;
  readonly secrets: SinkContext["secrets"];
  readonly fileDir: string | undefined;
  readonly ca: string | undefined;
  readonly metrics: DestinationMetrics;
  readonly log: Log;
  readonly pauses: Pauses;
}

/** What a destination is to be. */
interface Wanted extends Target {
  readonly destination: Destination;
  readonly eventFormat: AuditSection["eventFormat"];
}

interface Running {
  readonly wanted: Wanted;
  readonly follower: Follower;
}

const pollMs = 1_000;
/** However often something is stored. */
const shortestRoundMs = 100;

/**
 * Brings each log to its destinations: whatever the replicas are, one of them at a time serves a destination. It looks for what is
 * new once a second, and at once where it is told.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Running>();
  readonly #finished: Promise<void>;
  #wanted: ReadonlyMap<string, Wanted> = new Map();
  #held = new Set<number>();
  #wake: () => void = () => {};
  #isAwake = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#finished = this.#run();
  }

  /** What is to be from now on; of one that changes, its place stays. */
  configure(sections: ReadonlyMap<string, AuditSection>): void {
    const all = [...sections].flatMap(([log, { destinations, eventFormat }]) =>
      destinations.map((destination) => ({ log, name: destinationName(destination), destination, eventFormat })),
    );
    this.#wanted = new Map(all.map((wanted) => [keyOf(wanted), wanted]));
    this.wake();
  }

  /** Something was stored. */
  wake(): void {
    this.#isAwake = true;
    this.#wake();
  }

  /** How many there are, in whichever replica. */
  get size(): number {
    return this.#wanted.size;
  }

  /** Those that are served here. */
  get followers(): Follower[] {
    return [...this.#running.values()].map(({ follower }) => follower);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.wake();
    await this.#finished;
  }

  async #run(): Promise<void> {
    const { locks, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await locks.use((client) => this.#serve(client));
      } catch (error) {
        log.warn({ error: describeError(error) }, "destinations are not served while Postgres is away");
        await sleep(pollMs, signal);
      }
    }
  }

  /** As long as this connection lives, so do its locks. */
  async #serve(client: ClientBase): Promise<void> {
    const { signal } = this.#stopping;
    try {
      while (!signal.aborted) {
        this.#isAwake = false;
        await this.#round(client);
        await sleep(shortestRoundMs, signal);
        await this.#untilWoken();
      }
      await this.#stopAll();
      await client.query("select pg_advisory_unlock_all()");
    } catch (error) {
      // Whatever it is, the connection with its locks must go.
      throw new Error("a round of destinations failed", { cause: error });
    } finally {
      await this.#stopAll();
      this.#held = new Set();
    }
  }

  async #untilWoken(): Promise<void> {
    if (this.#isAwake) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(pollMs, woken.signal);
  }

  async #round(client: ClientBase): Promise<void> {
    await this.#stopOutdated();
    const missing = [...new Set([...this.#wanted.values()].map(shardOf))].filter((shard) => !this.#held.has(shard));
    if (missing.length > 0) for (const shard of await lockShards(client, missing)) this.#held.add(shard);
    await this.#startMissing(client);
    const heads = await readHeads(
      client,
      this.followers.map(({ place }) => place),
    );
    for (const head of heads) this.#running.get(keyOf(head))?.follower.reach(head);
  }

  async #stopOutdated(): Promise<void> {
    const outdated = [...this.#running].filter(
      ([key, { wanted }]) => !isDeepStrictEqual(wanted, this.#wanted.get(key)),
    );
    await this.#stop(outdated);
  }

  async #stopAll(): Promise<void> {
    await this.#stop([...this.#running]);
  }

  async #stop(some: readonly (readonly [string, Running])[]): Promise<void> {
    await Promise.all(some.map(([, { follower }]) => follower.stop()));
    for (const [key] of some) this.#running.delete(key);
  }

  async #startMissing(client: ClientBase): Promise<void> {
    const missing = [...this.#wanted.values()].filter(
      (wanted) => !this.#running.has(keyOf(wanted)) && this.#held.has(shardOf(wanted)),
    );
    if (missing.length === 0) return;
    const targets = missing.map(({ log, name, destination: { from } }) => ({ log, name, from }));
    const places = new Map((await readPlaces(client, targets)).map((place) => [keyOf(place), place]));
    for (const wanted of missing) {
      const place = places.get(keyOf(wanted));
      if (place !== undefined) this.#running.set(keyOf(wanted), { wanted, follower: this.#follow(wanted, place) });
    }
  }

  #follow({ log, destination, eventFormat }: Wanted, place: Place): Follower {
    const { trail, metrics, pauses, secrets, fileDir, ca } = this.#options;
    const format = formats[destination.format ?? eventFormat.type](eventFormat);
    return new Follower({
      place,
      format,
      sink: openSink(destination, { secrets, format, log, fileDir, ca }),
      batchSize: destination.batchSize,
      flushIntervalMs: destination.flushIntervalMs,
      trail,
      metrics,
      pauses,
      log: this.#options.log,
    });
  }
}

function keyOf({ log, name }: Target): string {
  return `${log} ${name}`;
}
