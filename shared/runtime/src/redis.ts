import { Redis } from "ioredis";
import { clientTls, type ClientTls, type ClientTlsReports } from "./client-tls.ts";
import { ConfigError } from "./config.ts";

export interface RedisOptions {
  readonly url: string;
  /** How long one command may take. */
  readonly timeoutMs: number;
  readonly tls?: ClientTls | undefined;
  /** Told why there is no connection, once for each reason between two connections. */
  readonly onProblem?: (reason: string) => void;
}

/** What settings of a service say of its Redis. */
export interface RedisConfig {
  readonly REDIS_URL: string;
  readonly REDIS_TIMEOUT_MS: number;
  readonly REDIS_CA_FILE?: string | undefined;
  readonly REDIS_CERT_FILE?: string | undefined;
  readonly REDIS_KEY_FILE?: string | undefined;
}

/** @throws ConfigError where its TLS files can't be used, or would not be */
export function redisOptions(config: RedisConfig, reports: ClientTlsReports): RedisOptions {
  const { REDIS_CA_FILE: ca, REDIS_CERT_FILE: cert, REDIS_KEY_FILE: key } = config;
  const tls = clientTls("REDIS", { ca, cert, key }, reports);
  if (tls !== undefined && !config.REDIS_URL.startsWith("rediss://"))
    throw new ConfigError("REDIS_URL: must begin with rediss:// where REDIS_CA_FILE or REDIS_CERT_FILE is set");
  const onProblem = (reason: string) => reports.log.warn({ reason }, "no connection to redis");
  return { url: config.REDIS_URL, timeoutMs: config.REDIS_TIMEOUT_MS, tls, onProblem };
}

const longestRetryMs = 500;

/** A connection that fails at once while Redis is away, instead of keeping commands for later, and comes back by itself. */
export function openRedis({ url, timeoutMs, tls, onProblem }: RedisOptions): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    ...(url.startsWith("rediss://") && { tls: tls ?? {} }),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: timeoutMs,
    connectTimeout: 2_000,
    socketTimeout: 5_000,
    retryStrategy: (times) => Math.min(times * 50, longestRetryMs),
  });
  let told = "";
  redis.on("ready", () => (told = ""));
  redis.on("error", ({ message }: Error) => {
    if (message === told) return;
    told = message;
    onProblem?.(message);
  });
  return redis;
}

/** Lets commands under way end, then closes. */
export async function closeRedis(redis: Redis): Promise<void> {
  await redis.quit().catch(() => redis.disconnect());
}
