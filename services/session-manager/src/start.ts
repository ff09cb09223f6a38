import type { Redis } from "ioredis";
import { Fault } from "@sluice/contracts";
import { databaseOptions, servingFor, type Context } from "@sluice/runtime";
import { Counter, createIgnoredLog, Gauge } from "@sluice/telemetry";
import type { Config } from "./config.ts";
import { anyPushConfig, openPush, servePush } from "./push.ts";
import { serveSessions } from "./service.ts";
import type { Sessions } from "./sessions.ts";
import { admitTasks } from "./task-admission.ts";
import { serveTasks } from "./task-service.ts";
import { TaskWriter } from "./task-writer.ts";
import { KeptTasks, type Tasks } from "./tasks.ts";
import { PostgresTasks } from "./tasks-postgres.ts";
import { RedisTasks } from "./tasks-redis.ts";
import { TasksUpkeep } from "./tasks-upkeep.ts";

interface Parts {
  readonly redis: Redis;
  readonly sessions: Sessions;
}

/** Serves sessions and, where there is a Postgres, tasks. */
export function startSessionManager(context: Context<Config>, { redis, sessions }: Parts): void {
  const { bus, log, metrics } = context;
  const counterOf = (name: string, help: string) => {
    const counter = new Counter({ name, help, labelNames: ["event"], registers: [metrics] });
    return (event: string, count = 1) => {
      if (count > 0) counter.inc({ event }, count);
    };
  };
  const tasks = openTasks(context, redis);
  const ignored = createIgnoredLog(log);
  const serve = servingFor(context, ignored);
  const reply = (subject: string, payload: Uint8Array) => bus.tell(subject, payload);
  const countTask = counterOf(
    "sluice_tasks_total",
    "A2A calls by what they name, and tasks registered, watched and listed",
  );
  serveSessions(serve, {
    sessions,
    reply,
    ignored,
    counted: counterOf("sluice_sessions_total", "Legacy sessions created, ended, found for a call, and refused"),
    admitTasks: async (calls) => {
      const verdicts = await admitTasks(calls, { tasks, pushConfigs: anyPushConfig });
      const refused = verdicts.filter(({ ok }) => !ok).length;
      countTask("found", verdicts.length - refused);
      countTask("refused", refused);
      return verdicts;
    },
  });
  serveTasks(serve, { tasks, reply, ignored, counted: countTask });
  servePush({ serve, reply, ignored }, openPush(context));
}

function openTasks(context: Context<Config>, connection: Redis): Tasks {
  const { config, log, scope } = context;
  const { DATABASE_URL, DATABASE_CA_FILE, DATABASE_CERT_FILE, DATABASE_KEY_FILE } = config;
  if (DATABASE_URL === undefined) {
    log.warn("without DATABASE_URL no A2A task is kept: calls that name or make one are refused");
    return noTasks;
  }
  const database = databaseOptions({ DATABASE_URL, DATABASE_CA_FILE, DATABASE_CERT_FILE, DATABASE_KEY_FILE }, context);
  const postgres = scope.use(new PostgresTasks(database, config.DATABASE_TIMEOUT_MS));
  const { TASK_TTL_SECONDS: ttlSeconds, TASK_MAX_PER_CALLER: mostPerCaller, TASK_MAX_UNSTORED: mostUnstored } = config;
  const redis = new RedisTasks(connection, { ttlSeconds, mostUnstored });
  const writer = scope.use(
    new TaskWriter(postgres, {
      mostWaiting: mostUnstored,
      onStored: (ids) => void redis.stored(ids).catch(() => {}),
      onForeign: ({ tenant, server, task, context: of }) => {
        log.error({ tenant, server }, "a task was taken for a caller's that is another's; it is that one's again");
        const names = [
          ...(task === undefined ? [] : [{ tenant, server, kind: "task" as const, upstream: task.upstream }]),
          ...(of === undefined ? [] : [{ tenant, server, kind: "context" as const, upstream: of.upstream }]),
        ];
        void redis.forget(names).catch(() => {});
      },
      onRefused: (reason) => log.error({ reason }, "a task can't be stored"),
    }),
  );
  const upkeep = scope.use(new TasksUpkeep({ redis, postgres, writer, log, ttlSeconds, mostPerCaller }));
  watchOver(context, { writer, upkeep });
  return new KeptTasks({ redis, postgres, writer });
}

function watchOver(
  { metrics, report, requireReady }: Context<Config>,
  { writer, upkeep }: { readonly writer: TaskWriter; readonly upkeep: TasksUpkeep },
): void {
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(value());
      },
    });
  gauge("sluice_tasks_unstored", "Changes of A2A tasks that wait for Postgres", () => writer.size);
  gauge("sluice_tasks_postgres_up", "Whether Postgres answers, which keeps A2A tasks", () =>
    Number(upkeep.isPostgresThere),
  );
  report(() => ({ postgres: upkeep.isPostgresThere ? "connected" : "disconnected", unstored_tasks: writer.size }));
  requireReady(() => !writer.isFull);
}

const away = () => Promise.reject(new Fault("unavailable", "no A2A task is kept: DATABASE_URL is not set"));
const noTasks: Tasks = {
  find: (claims) => (claims.length === 0 ? Promise.resolve([]) : away()),
  register: away,
  watch: away,
  list: away,
};
