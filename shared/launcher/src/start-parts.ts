import { join } from "node:path";
import { accountsBlock } from "@sluice/bus";
import { auditorPasswords, writeAuditorsFile } from "./auditors.ts";
import type { House, HouseOptions } from "./house.ts";
import { keepStreams } from "./keep-streams.ts";
import { startNats } from "./nats.ts";
import type { Part } from "./part.ts";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";
import type { HouseState } from "./state.ts";

/** Starts NATS, Redis and Postgres of a house, or none of them. */
export async function startParts(
  dataDir: string,
  state: HouseState,
  { onProgress, natsConfig = "", auditors = [] }: HouseOptions,
): Promise<House["parts"]> {
  const accounts = accountsBlock({
    password: (service) => JSON.stringify(state.natsPasswords[service]),
    auditors: auditorPasswords(state, auditors),
  });
  await keepStreams(join(dataDir, "nats"));
  const progress = onProgress === undefined ? {} : { onProgress };
  const config = `max_payload: 1MB\n${natsConfig}\n${accounts}`;
  const started = await Promise.allSettled([
    startNats({ dataDir: join(dataDir, "nats"), config, ...progress }),
    startRedis({ dataDir: join(dataDir, "redis"), ...progress }),
    startPostgres({ dataDir: join(dataDir, "postgres"), ...progress }),
  ]);
  const failed = started.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    for (const result of started) if (result.status === "fulfilled") await result.value.stop();
    throw failed.reason;
  }
  const [nats, redis, postgres] = started.map((result) => (result as PromiseFulfilledResult<Part>).value);
  if (auditors.length > 0) await writeAuditorsFile(dataDir, state, { url: (nats as Part).url, auditors });
  return { nats: nats as Part, redis: redis as Part, postgres: postgres as Part };
}
