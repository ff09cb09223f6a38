import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import type { Renamed, TaskWatch, TaskWatchChange } from "@sluice/contracts";
import type { NameClaim, NameKind, OwnName, Registration } from "./task-names.ts";
import { fillScript, registerScript, watchScript } from "./tasks-script.ts";

/** `kept`: Postgres has to hear of it; `same`: it need not. */
type Registered = "other" | "missing" | "kept" | "same" | "full";

interface WithScripts {
  registerTask(keyCount: number, ...rest: (string | number)[]): Promise<Registered>;
  fillTask(keyCount: number, ...rest: (string | number)[]): Promise<unknown>;
  watchTask(keyCount: number, ...rest: (string | number)[]): Promise<[number, string?, string?]>;
}

export interface RedisTasksOptions {
  readonly ttlSeconds: number;
  /** Registrations that may wait here for Postgres. */
  readonly mostUnstored: number;
}

/** Where registrations wait that Postgres has not taken yet, for whichever replica finds it back. */
const unstoredKey = "gw:a2a:unstored";
const unstoredAtOnce = 200;
/** Beyond it the older form may be seen until the task is registered again: another state or watch, never another owner. */
const mostOutdated = 100_000;

/** Tasks and contexts in Redis, each forgotten when it was not used for long. Where it does not answer, every method rejects. */
export class RedisTasks {
  readonly #redis: Redis & WithScripts;
  readonly #options: RedisTasksOptions;
  /** Kept by Postgres alone, while Redis was away. */
  readonly #outdated = new Set<string>();

  constructor(redis: Redis, options: RedisTasksOptions) {
    redis.defineCommand("registerTask", { lua: registerScript });
    redis.defineCommand("fillTask", { lua: fillScript });
    redis.defineCommand("watchTask", { lua: watchScript });
    this.#redis = redis as Redis & WithScripts;
    this.#options = options;
    redis.on("ready", () => void this.dropOutdated());
  }

  get isReady(): boolean {
    return this.#redis.status === "ready" && this.#outdated.size === 0;
  }

  /** What is kept for each claim, in order; what is not here may be elsewhere. */
  async find(claims: readonly NameClaim[]): Promise<(OwnName | undefined)[]> {
    const places = await this.#redis.mget(claims.map(nameKeyOf));
    const pipeline = this.#redis.pipeline();
    for (const [index, place] of places.entries()) {
      const claim = claims[index];
      if (place === null || claim === undefined) continue;
      const { ttlSeconds } = this.#options;
      pipeline.hgetall(place).expire(place, ttlSeconds).expire(nameKeyOf(claim), ttlSeconds);
    }
    const results = (await pipeline.exec()) ?? [];
    let at = 0;
    return claims.map((claim, index) => {
      if (typeof places[index] !== "string") return undefined;
      const [error, fields] = results[at] ?? [];
      at += 3;
      if (error) throw error;
      return keptFor(claim, fields as Readonly<Record<string, string>>);
    });
  }

  /** Brings up to date what is the caller's; `missing` where something is not here, and then nothing is changed. */
  update(registration: Registration): Promise<Registered> {
    return this.#register(registration, "");
  }

  /** Keeps it, and for Postgres too, under that id; without Postgres this alone says who is first. */
  claim(registration: Registration, id: string): Promise<Registered> {
    return this.#register(registration, id);
  }

  /** Keeps what Postgres knows, where nothing is known here. */
  async learn({ tenant, identity, server, kind, name }: NameClaim, own: OwnName): Promise<void> {
    const record = recordKeyOf({ tenant, server, kind, upstream: own.upstream });
    const nameKey = nameKeyOf({ tenant, identity, server, kind, name });
    const fields = Object.entries({
      identity,
      upstream: own.upstream,
      client: name,
      name: nameKey,
      context: own.context,
      contextClient: own.contextClient,
      state: own.state,
      stateAt: own.stateAt,
      egress: own.watch?.egress,
      stream: own.watch?.stream,
    }).flatMap(([field, value]) => (value === undefined ? [] : [field, value]));
    await this.#redis.fillTask(2, record, nameKey, identity, this.#options.ttlSeconds, ...fields);
  }

  /** Compare and set; what stands instead where that failed, undefined where the task is not here. */
  async watch({ tenant, server, task, expected, watch }: TaskWatchChange): Promise<TaskWatch | boolean | undefined> {
    const record = recordKeyOf({ tenant, server, kind: "task", upstream: task });
    const [result, egress, stream] = await this.#redis.watchTask(
      1,
      record,
      ...[expected?.egress ?? "", expected?.stream ?? "", watch?.egress ?? "", watch?.stream ?? ""],
    );
    if (result === -1) return undefined;
    if (result === 1) return true;
    return egress && stream ? { egress, stream } : false;
  }

  /** Those that wait for Postgres, by id; not more than a few. */
  async unstored(): Promise<ReadonlyMap<string, Registration>> {
    const [, found] = await this.#redis.hscan(unstoredKey, 0, "COUNT", unstoredAtOnce);
    const all = new Map<string, Registration>();
    for (let at = 0; at + 1 < found.length; at += 2)
      all.set(found[at] as string, JSON.parse(found[at + 1] as string) as Registration);
    return all;
  }

  async stored(ids: readonly string[]): Promise<void> {
    await this.#redis.hdel(unstoredKey, ...ids);
  }

  async forget(names: readonly RecordName[]): Promise<void> {
    if (names.length > 0) await this.#redis.unlink(names.map(recordKeyOf));
  }

  /** What was kept without Redis stands there in an older form, and must go before it is asked again. */
  outdate({ tenant, server, task, context }: Registration): void {
    if (this.#outdated.size >= mostOutdated) return;
    for (const [kind, pair] of [["task", task] as const, ["context", context] as const])
      if (pair !== undefined) this.#outdated.add(recordKeyOf({ tenant, server, kind, upstream: pair.upstream }));
  }

  /** Until it is done Redis counts as away. */
  async dropOutdated(): Promise<void> {
    const keys = [...this.#outdated];
    if (keys.length === 0) return;
    await this.#redis
      .unlink(keys)
      .catch(() => undefined)
      .then((dropped) => {
        if (dropped !== undefined) for (const key of keys) this.#outdated.delete(key);
      });
  }

  #register(registration: Registration, id: string): Promise<Registered> {
    const { tenant, identity, server, task, context, state, stateAt, watch } = registration;
    const { ttlSeconds, mostUnstored } = this.#options;
    const keys = (kind: NameKind, pair: Renamed | undefined) => [
      pair === undefined ? "" : recordKeyOf({ tenant, server, kind, upstream: pair.upstream }),
      ...[pair?.client, pair?.upstream].map((name) =>
        name === undefined ? "" : nameKeyOf({ tenant, identity, server, kind, name }),
      ),
    ];
    return this.#redis.registerTask(
      7,
      ...keys("task", task),
      ...keys("context", context),
      unstoredKey,
      ...[identity, task?.client ?? "", task?.upstream ?? "", context?.client ?? "", context?.upstream ?? ""],
      ...[state ?? "", stateAt, watch?.egress ?? "", watch?.stream ?? "", ttlSeconds, id, mostUnstored],
      id === "" ? "" : JSON.stringify(registration),
    );
  }
}

interface RecordName {
  readonly tenant: string;
  readonly server: string;
  readonly kind: NameKind;
  readonly upstream: string;
}

function keptFor(claim: NameClaim, fields: Readonly<Record<string, string>>): OwnName | undefined {
  const { identity, client, upstream, context, contextClient, state, stateAt, egress, stream } = fields;
  if (identity !== claim.identity || client !== claim.name || upstream === undefined) return undefined;
  return {
    upstream,
    context,
    contextClient,
    state,
    stateAt: stateAt === undefined ? undefined : Number(stateAt),
    watch: egress && stream ? { egress, stream } : undefined,
  };
}

function recordKeyOf({ tenant, server, kind, upstream }: RecordName): string {
  return keyOf("record", [tenant, server, kind, upstream]);
}

/** A caller only ever asks under keys of its own. */
function nameKeyOf({ tenant, server, identity, kind, name }: NameClaim): string {
  return keyOf("name", [tenant, server, identity, kind, name]);
}

function keyOf(what: string, parts: readonly string[]): string {
  return `gw:a2a:${what}:${createHash("sha256").update(JSON.stringify(parts)).digest("base64url")}`;
}
