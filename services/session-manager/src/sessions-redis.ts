import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { isSessionName, sessionNameOf } from "@sluice/contracts";
import type { Claim, Owner, Sessions } from "./sessions.ts";

interface Stored extends Owner {
  readonly upstreamSession: string;
}

export interface RedisSessionsOptions {
  /** How long an unused session is kept. */
  readonly ttlSeconds: number;
  /** Told when a session that was used could not be kept longer. */
  readonly onRefreshFailure: () => void;
}

/** Sessions in Redis. Where it does not answer, every method rejects. */
export class RedisSessions implements Sessions {
  readonly #redis: Redis;
  readonly #options: RedisSessionsOptions;

  constructor(redis: Redis, options: RedisSessionsOptions) {
    this.#redis = redis;
    this.#options = options;
  }

  async create(owner: Owner, upstreamSession: string): Promise<string> {
    const session = randomBytes(32).toString("base64url");
    const { tenant, agent, server } = owner;
    const stored: Stored = { tenant, agent, server, upstreamSession };
    const answer = await this.#redis.set(
      keyOf(sessionNameOf(session)),
      JSON.stringify(stored),
      "EX",
      this.#options.ttlSeconds,
      "NX",
    );
    if (answer !== "OK") throw new Error("redis did not keep the session");
    return session;
  }

  async find(claims: readonly Claim[]): Promise<readonly (string | undefined)[]> {
    const keys = claims.filter(({ session }) => isSessionName(session)).map(({ session }) => keyOf(session));
    const values = keys.length === 0 ? [] : await this.#redis.mget(keys);
    const used = new Set<string>();
    let at = 0;
    const found = claims.map((claim) => {
      if (!isSessionName(claim.session)) return undefined;
      const upstreamSession = upstreamOf(claim, values[at++] ?? null);
      if (upstreamSession !== undefined) used.add(keyOf(claim.session));
      return upstreamSession;
    });
    if (used.size > 0) void this.#refresh(used);
    return found;
  }

  async end(session: string): Promise<void> {
    if (isSessionName(session)) await this.#redis.unlink(keyOf(session));
  }

  /** The answer does not wait for it. */
  async #refresh(keys: Iterable<string>): Promise<void> {
    const pipeline = this.#redis.pipeline();
    for (const key of keys) pipeline.expire(key, this.#options.ttlSeconds);
    try {
      const results = await pipeline.exec();
      if (results?.some(([error]) => error !== null)) this.#options.onRefreshFailure();
    } catch {
      this.#options.onRefreshFailure();
    }
  }
}

function upstreamOf(claim: Claim, value: string | null): string | undefined {
  const stored = value === null ? null : readStored(value);
  if (stored === null) return undefined;
  const isOwner = stored.tenant === claim.tenant && stored.agent === claim.agent && stored.server === claim.server;
  return isOwner ? stored.upstreamSession : undefined;
}

/** Quiet on purpose: what JSON.parse says of a text quotes it. */
function readStored(value: string): Stored | null {
  try {
    return JSON.parse(value) as Stored | null;
  } catch {
    return null;
  }
}

function keyOf(name: string): string {
  return `gw:mcp:session:${name}`;
}
