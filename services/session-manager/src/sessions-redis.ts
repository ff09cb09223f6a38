import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { isSessionName, sessionNameOf, type KeptSession } from "@sluice/contracts";
import type { Claim, Owner, Sessions } from "./sessions.ts";

interface Stored extends KeptSession {
  /** Whose it is; `owner` is another thing: the replica that holds it. */
  readonly tenant: string;
  readonly agent: string;
  readonly server: string;
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

  async create({ tenant, agent, server }: Owner, kept: KeptSession): Promise<string> {
    const session = randomBytes(32).toString("base64url");
    const stored: Stored = { tenant, agent, server, ...kept };
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

  async find(claims: readonly Claim[]): Promise<readonly (KeptSession | undefined)[]> {
    const keys = claims.filter(({ session }) => isSessionName(session)).map(({ session }) => keyOf(session));
    const values = keys.length === 0 ? [] : await this.#redis.mget(keys);
    const used = new Set<string>();
    let at = 0;
    const found = claims.map((claim) => {
      if (!isSessionName(claim.session)) return undefined;
      const kept = keptFor(claim, values[at++] ?? null);
      if (kept !== undefined) used.add(keyOf(claim.session));
      return kept;
    });
    if (used.size > 0) void this.#refresh(used);
    return found;
  }

  async update(claim: Claim, upstreamSession: string): Promise<boolean> {
    if (!isSessionName(claim.session)) return false;
    const kept = keptFor(claim, await this.#redis.get(keyOf(claim.session)));
    if (kept === undefined) return false;
    const { tenant, agent, server } = claim;
    const stored: Stored = { tenant, agent, server, ...kept, upstreamSession };
    const { ttlSeconds } = this.#options;
    return (await this.#redis.set(keyOf(claim.session), JSON.stringify(stored), "EX", ttlSeconds, "XX")) === "OK";
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

function keptFor(claim: Claim, value: string | null): KeptSession | undefined {
  const stored = value === null ? null : readStored(value);
  if (stored === null) return undefined;
  const { tenant, agent, server, ...kept } = stored;
  return tenant === claim.tenant && agent === claim.agent && server === claim.server ? kept : undefined;
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
