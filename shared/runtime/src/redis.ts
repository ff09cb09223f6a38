import { Redis } from "ioredis";

export interface RedisOptions {
  readonly url: string;
  /** How long one command may take. */
  readonly timeoutMs: number;
}

const longestRetryMs = 500;

/** A connection that fails at once while Redis is away, instead of keeping commands for later, and comes back by itself. */
export function openRedis({ url, timeoutMs }: RedisOptions): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: timeoutMs,
    connectTimeout: 2_000,
    socketTimeout: 5_000,
    retryStrategy: (times) => Math.min(times * 50, longestRetryMs),
  });
  redis.on("error", () => {});
  return redis;
}

/** Lets commands under way end, then closes. */
export async function closeRedis(redis: Redis): Promise<void> {
  await redis.quit().catch(() => redis.disconnect());
}
