import { createHash, randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { isSessionName, sessionNameOf, type EndedSession, type KeptSession } from "@sluice/contracts";
import type { Change, Claim, Created, Owner, Sessions, Updated } from "./sessions.ts";

interface Stored extends KeptSession {
  /** Whose it is; `owner` is another thing: the replica that holds it. */
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
}

interface Used {
  readonly claim: Claim;
  readonly kept: KeptSession;
}

export interface RedisSessionsOptions {
  /** How long an unused session is kept. */
  readonly ttlSeconds: number;
  /** Mediated sessions of one caller. */
  readonly mostPerAgent: number;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Told when a session that was used could not be kept longer. */
  readonly onRefreshFailure: () => void;
}

interface WithScript {
  replaceSession(keyCount: number, key: string, expected: string, next: string, ttlSeconds: number): Promise<number>;
}

/** Two replicas may change a session at once: the second finds another text. */
const replaceScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1`;
/** A caller that had more before the bound was lowered loses them little by little: what is kept of them fits one answer. */
const mostEndedAtOnce = 8;

/** Sessions in Redis. Where it does not answer, every method rejects. */
export class RedisSessions implements Sessions {
  readonly #redis: Redis & WithScript;
  readonly #options: RedisSessionsOptions;
  readonly #now: () => number;

  constructor(redis: Redis, options: RedisSessionsOptions) {
    redis.defineCommand("replaceSession", { lua: replaceScript });
    this.#redis = redis as Redis & WithScript;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  async create({ tenant, identity, server }: Owner, kept: KeptSession): Promise<Created> {
    const session = randomBytes(32).toString("base64url");
    const stored: Stored = { tenant, identity, server, ...kept };
    const answer = await this.#redis.set(
      keyOf(sessionNameOf(session)),
      JSON.stringify(stored),
      "EX",
      this.#options.ttlSeconds,
      "NX",
    );
    if (answer !== "OK") throw new Error("redis did not keep the session");
    if (kept.isMediated !== true) return { session, ended: [] };
    return { session, ended: await this.#makeRoom(stored, sessionNameOf(session)) };
  }

  async find(claims: readonly Claim[]): Promise<readonly (KeptSession | undefined)[]> {
    const keys = claims.filter(({ session }) => isSessionName(session)).map(({ session }) => keyOf(session));
    const values = keys.length === 0 ? [] : await this.#redis.mget(keys);
    const used = new Map<string, Used>();
    let at = 0;
    const found = claims.map((claim) => {
      if (!isSessionName(claim.session)) return undefined;
      const kept = keptFor(claim, values[at++] ?? null);
      if (kept !== undefined) used.set(keyOf(claim.session), { claim, kept });
      return kept;
    });
    if (used.size > 0) void this.#refresh(used);
    return found;
  }

  async look(claim: Claim): Promise<KeptSession | undefined> {
    return isSessionName(claim.session) ? keptFor(claim, await this.#redis.get(keyOf(claim.session))) : undefined;
  }

  async update(claim: Claim, { expected, upstreamSession }: Change): Promise<Updated> {
    if (!isSessionName(claim.session)) return { ok: false };
    const key = keyOf(claim.session);
    for (;;) {
      const value = await this.#redis.get(key);
      const kept = keptFor(claim, value);
      if (value === null || kept === undefined) return { ok: false };
      if (kept.upstreamSession !== expected) return { ok: false, upstreamSession: kept.upstreamSession };
      const { tenant, identity, server } = claim;
      const next: Stored = { tenant, identity, server, ...kept, upstreamSession };
      const { ttlSeconds } = this.#options;
      if ((await this.#redis.replaceSession(1, key, value, JSON.stringify(next), ttlSeconds)) === 1)
        return { ok: true };
    }
  }

  async end(session: string): Promise<void> {
    if (!isSessionName(session)) return;
    const stored = readStored(await this.#redis.getdel(keyOf(session)));
    if (stored?.isMediated === true) await this.#redis.zrem(indexOf(stored), session);
  }

  /** Those that are over long since stand first in the index, and so go before any that lives. */
  async #makeRoom(owner: Owner, name: string): Promise<EndedSession[]> {
    const { ttlSeconds, mostPerAgent } = this.#options;
    const index = indexOf(owner);
    const results = await this.#redis
      .multi()
      .zadd(index, this.#now(), name)
      .expire(index, ttlSeconds)
      .zcard(index)
      .exec();
    const tooMany = Number(results?.[2]?.[1] ?? 0) - mostPerAgent;
    if (tooMany <= 0) return [];
    const popped = await this.#redis.zpopmin(index, Math.min(tooMany, mostEndedAtOnce));
    const names = popped.filter((_, at) => at % 2 === 0);
    const values = await Promise.all(names.map((one) => this.#redis.getdel(keyOf(one))));
    return names.flatMap((session, at) => {
      const stored = readStored(values[at] ?? null);
      if (stored === null) return [];
      const { tenant: _tenant, identity: _identity, ...kept } = stored;
      return [{ session, ...kept }];
    });
  }

  /** The answer does not wait for it. */
  async #refresh(used: ReadonlyMap<string, Used>): Promise<void> {
    const { ttlSeconds } = this.#options;
    const pipeline = this.#redis.pipeline();
    for (const [key, { claim, kept }] of used) {
      pipeline.expire(key, ttlSeconds);
      if (kept.isMediated !== true) continue;
      const index = indexOf(claim);
      pipeline.zadd(index, "XX", this.#now(), claim.session).expire(index, ttlSeconds);
    }
    try {
      const results = await pipeline.exec();
      if (results?.some(([error]) => error !== null)) this.#options.onRefreshFailure();
    } catch {
      this.#options.onRefreshFailure();
    }
  }
}

function keptFor(claim: Claim, value: string | null): KeptSession | undefined {
  const stored = readStored(value);
  if (stored === null) return undefined;
  const { tenant, identity, server, ...kept } = stored;
  return tenant === claim.tenant && identity === claim.identity && server === claim.server ? kept : undefined;
}

/** Quiet on purpose: what JSON.parse says of a text quotes it. */
function readStored(value: string | null): Stored | null {
  if (value === null) return null;
  try {
    return JSON.parse(value) as Stored | null;
  } catch {
    return null;
  }
}

function keyOf(name: string): string {
  return `gw:mcp:session:${name}`;
}

/** The names of a caller's mediated sessions, by when they were used last. */
function indexOf({ tenant, identity }: Pick<Owner, "tenant" | "identity">): string {
  return `gw:mcp:sessions:${createHash("sha256").update(`${tenant}\0${identity}`).digest("base64url")}`;
}
