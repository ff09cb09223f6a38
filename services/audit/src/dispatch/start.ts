import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { watchSection } from "@sluice/bus";
import { subjects } from "@sluice/contracts";
import { ConfigError, type Context, type DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { referencesIn } from "@sluice/secrets";
import { describeError } from "@sluice/telemetry";
import { keepDeadLetter } from "../dead-letters.ts";
import { readRecords } from "../records.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { Follower, Trail } from "./follower.ts";
import { createDestinationMetrics } from "./metrics.ts";
import { sleep, type Pauses } from "./pauses.ts";
import { movePlace } from "./places.ts";

export interface DestinationsOptions {
  readonly database: DatabaseOptions;
  readonly fileDir: string | undefined;
  readonly caFile: string | undefined;
  readonly pauses?: Pauses;
}

type DestinationsContext = Pick<
  Context<unknown>,
  "bus" | "log" | "metrics" | "scope" | "secrets" | "stopping" | "report" | "complain"
>;

const lockKey = 7_583_221;
const readConnections = 4;
const queryTimeoutMs = 30_000;
/** The connection that holds the locks is known to be gone after this. */
const lockTimeoutMs = 10_000;
const retryMs = 1_000;
/** How many of those that are away `/health` names. */
const mostNamed = 50;
const usualPauses: Pauses = { firstMs: 500, lastMs: 30_000 };

/**
 * Serves the destinations of the configuration, which it follows; a destination that is away concerns no other, nor readiness.
 * @returns to be told when something was stored
 * @throws ConfigError where files or authorities of the environment can't be used
 */
export async function startDestinations(
  context: DestinationsContext,
  { database, fileDir, caFile, pauses = usualPauses }: DestinationsOptions,
): Promise<{ wake(): void }> {
  const { bus, log, scope, secrets, metrics } = context;
  const ca = await readAuthorities(caFile);
  await requireDirectory(fileDir);
  const reading = scope.use(databaseFor(database, { connections: readConnections, queryTimeoutMs }));
  const locks = scope.use(databaseFor(database, { connections: 1, queryTimeoutMs: lockTimeoutMs }));
  const trail: Trail = {
    read: (range) => reading.use((client) => readRecords(client, range)),
    move: (place) => reading.use((client) => movePlace(client, place)),
    bury: ({ log: name }, { text, reason }) =>
      keepDeadLetter(bus, { subject: subjects.trail(name), data: Buffer.from(text) }, reason),
  };
  const measured = createDestinationMetrics(metrics, () => dispatcher.followers);
  const dispatcher = new Dispatcher({ locks, trail, secrets, fileDir, ca, metrics: measured, log, pauses });
  scope.defer(() => dispatcher.stop());
  context.report(() => ({ destinations: reportOf(dispatcher) }));
  context.complain(() =>
    away(dispatcher).map(({ place, problem }) => `destination ${place.name} of ${place.log}: ${problem}`),
  );
  void followConf(context, dispatcher);
  return dispatcher;
}

/** The service stores events before there is a configuration. */
async function followConf({ bus, log, scope, secrets, stopping }: DestinationsContext, dispatcher: Dispatcher) {
  while (!stopping.aborted) {
    try {
      const sections = await watchSection(bus, "audit", async (tenants) => {
        if (await secrets.use("destinations", referencesIn([...tenants.values()]))) dispatcher.configure(tenants);
      });
      if (stopping.aborted) await sections[Symbol.asyncDispose]();
      else scope.use(sections);
      return;
    } catch (error) {
      if (!stopping.aborted) log.warn({ error: describeError(error) }, "there is no configuration of destinations yet");
      await sleep(retryMs, stopping);
    }
  }
}

function databaseFor(options: DatabaseOptions, bounds: { connections: number; queryTimeoutMs: number }): Database {
  return new Database(options, {
    name: "sluice-audit-destinations",
    migrations: join(import.meta.dirname, "../../migrations"),
    table: "audit_migrations",
    lockKey,
    connectTimeoutMs: 5_000,
    ...bounds,
  });
}

function away(dispatcher: Dispatcher): Follower[] {
  return dispatcher.followers.filter(({ problem }) => problem !== undefined);
}

function reportOf(dispatcher: Dispatcher) {
  const down = away(dispatcher);
  return {
    configured: dispatcher.size,
    served: dispatcher.followers.length,
    down: down.length,
    problems: down.slice(0, mostNamed).map(({ place, problem, lag }) => ({
      log: place.log,
      destination: place.name,
      problem,
      lag_events: lag.events,
      lag_seconds: Math.round(lag.seconds),
    })),
  };
}

async function readAuthorities(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`AUDIT_DESTINATIONS_CA_FILE: the file can't be read: ${error.code}`);
  });
}

async function requireDirectory(path: string | undefined): Promise<void> {
  if (path === undefined) return;
  const isDirectory = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isDirectory) throw new ConfigError("AUDIT_FILE_DIR: there is no such directory");
}
