import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { upstreamNameOf, type Intent, type Named, type SessionVerdict } from "@sluice/contracts";
import { startPostgres, startRedis, type Part } from "@sluice/launcher";
import { databaseOptions } from "@sluice/runtime";
import { closeRedis, openRedis } from "@sluice/runtime/redis";
import { createLog, createMetrics } from "@sluice/telemetry";
import { noPushConfigs } from "./push-named.ts";
import type { Owner } from "./sessions.ts";
import { admitTasks } from "./task-admission.ts";
import type { Registration } from "./task-names.ts";
import { TaskWriter } from "./task-writer.ts";
import { KeptTasks } from "./tasks.ts";
import { PostgresTasks } from "./tasks-postgres.ts";
import { RedisTasks } from "./tasks-redis.ts";
import { TasksUpkeep } from "./tasks-upkeep.ts";

/** For the tests: a real Redis and Postgres, and replicas of what keeps tasks, without the bus. */
export interface TasksWorld extends AsyncDisposable {
  readonly redis: Part;
  readonly postgres: Part;
  replica(options?: ReplicaOptions): Promise<TasksReplica>;
}

interface ReplicaOptions {
  readonly mostUnstored?: number;
  readonly mostPerCaller?: number;
  readonly ttlSeconds?: number;
}

export type TasksReplica = Awaited<ReturnType<typeof startReplica>>;

export const patience = { timeout: 20_000, interval: 20 };
export const ana = { tenant: "acme", identity: "ana", server: "planner" };
export const bob = { ...ana, identity: "bob" };

/** @param processEnv what servers are started with */
export async function startTasksWorld(processEnv: NodeJS.ProcessEnv): Promise<TasksWorld> {
  const dataDir = await mkdtemp(join(tmpdir(), "sluice-tasks-"));
  const { REDIS_URL: _, DATABASE_URL: __, ...env } = processEnv;
  const [redis, postgres] = await Promise.all([
    startRedis({ dataDir: join(dataDir, "redis"), env }),
    startPostgres({ dataDir: join(dataDir, "postgres"), env }),
  ]);
  const replicas = new AsyncDisposableStack();
  return {
    redis,
    postgres,
    replica: async (options = {}) => replicas.use(await startReplica({ redis, postgres, ...options })),
    [Symbol.asyncDispose]: async () => {
      await replicas.disposeAsync();
      await Promise.all([redis.stop(), postgres.stop()]);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

interface ReplicaParts extends ReplicaOptions {
  readonly redis: Part;
  readonly postgres: Part;
}

async function startReplica(parts: ReplicaParts) {
  const { mostUnstored = 1_000, mostPerCaller = 1_000, ttlSeconds = 600 } = parts;
  const [url, databaseUrl] = [parts.redis.url, parts.postgres.url];
  const scope = new AsyncDisposableStack();
  const connection = scope.adopt(openRedis({ url, timeoutMs: 1_000 }), closeRedis);
  await connection.connect().catch(() => {});
  const reports = { log: createLog("session-manager", "fatal"), metrics: createMetrics("session-manager") };
  const postgres = scope.use(new PostgresTasks(databaseOptions({ DATABASE_URL: databaseUrl }, reports), 2_000));
  const redis = new RedisTasks(connection, { ttlSeconds, mostUnstored });
  const foreign: Registration[] = [];
  const writer = scope.use(
    new TaskWriter(postgres, {
      mostWaiting: mostUnstored,
      onStored: (ids: readonly string[]) => void redis.stored(ids).catch(() => {}),
      onForeign: (registration: Registration) => void foreign.push(registration),
      onRefused: () => {},
    }),
  );
  const keeping = { ttlSeconds, mostPerCaller };
  const upkeep = scope.use(new TasksUpkeep({ redis, postgres, writer, log: reports.log, ...keeping }));
  const tasks = new KeptTasks({ redis, postgres, writer });
  return { tasks, redis: connection, writer, upkeep, foreign, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

/** The same name on both sides. */
export const same = (name: string) => ({ client: name, upstream: name });

export async function admitted(tasks: KeptTasks, caller: Owner, named: Named): Promise<SessionVerdict> {
  const call = { ...caller, method: "GetTask", protocol: "a2a", a2a: { version: "1.0", binding: "JSONRPC", ...named } };
  const [verdict] = await admitTasks([call as unknown as Intent], { tasks, pushConfigs: noPushConfigs });
  if (verdict === undefined) throw new Error("no verdict");
  return verdict;
}

/** What a name of the client's stands for upstream. @throws where the call is refused */
export function upstreamOf(verdict: SessionVerdict, kind: "tasks" | "contexts", client: string): string {
  if (!verdict.ok || verdict.known === undefined) throw new Error("refused");
  return upstreamNameOf(client, verdict.known.renames?.[kind]);
}
