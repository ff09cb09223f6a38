import { run } from "@sluice/runtime";
import { closeRedis, openRedis, redisOptions } from "@sluice/runtime/redis";
import { configSchema } from "./config.ts";
import { RedisSessions } from "./sessions-redis.ts";
import { startSessionManager } from "./start.ts";

await run({
  name: "session-manager",
  config: configSchema,
  start: async (context) => {
    const { config, log, requireReady, scope } = context;
    const redis = scope.adopt(openRedis(redisOptions(config, context)), closeRedis);
    await redis
      .connect()
      .catch(() => log.warn("redis does not answer: calls of legacy sessions are refused until it does"));
    requireReady(() => redis.status === "ready");
    const sessions = new RedisSessions(redis, {
      ttlSeconds: config.SESSION_TTL_SECONDS,
      mostPerAgent: config.SESSION_MAX_PER_AGENT,
      onRefreshFailure: () => log.debug("a used session could not be kept longer"),
    });
    startSessionManager(context, { redis, sessions });
  },
});
