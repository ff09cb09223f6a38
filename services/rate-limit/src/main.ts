import { Presence } from "@sluice/bus";
import { run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { createFallbackReport } from "./fallback-report.ts";
import { closeRedis, openRedis, redisOptions } from "@sluice/runtime/redis";
import { startRateLimit } from "./service.ts";
import { FallbackWindows } from "./windows-fallback.ts";
import { LocalWindows } from "./windows-local.ts";
import { RedisWindows } from "./windows-redis.ts";

/** So many are taken to live before there was time to hear them: without Redis, a replica that is new grants little at first. */
const replicasUnheard = 16;

await run({
  name: "rate-limit",
  config: configSchema,
  start: async (context) => {
    const { bus, scope, config } = context;
    const redis = scope.adopt(openRedis(redisOptions(config, context)), closeRedis);
    await redis.connect().catch(() => {});
    const presence = scope.use(new Presence(bus, "rate-limit", () => {}));
    const local = new LocalWindows({ now: () => performance.now() });
    const replicas = () => (presence.settled ? presence.count : Math.max(presence.count, replicasUnheard));
    const options = { local, replicas, onChange: createFallbackReport(context) };
    await startRateLimit(context, scope.use(new FallbackWindows({ ...options, shared: new RedisWindows(redis) })));
  },
});
