import { readFile, stat } from "node:fs/promises";
import { subjects } from "@sluice/contracts";
import { ConfigError, type BaseConfig, type Context, type DatabaseOptions } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { auditSchema } from "@sluice/schema";
import { referencesIn } from "@sluice/secrets";
import { followAuditConf } from "../audit-conf.ts";
import { keepDeadLetter } from "../dead-letters.ts";
import { readRecords } from "../records.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { Follower, Trail } from "./follower.ts";
import { createDestinationMetrics } from "./metrics.ts";
import type { Pauses } from "./pauses.ts";
import { movePlace } from "./places.ts";

export interface DestinationsOptions {
  readonly database: DatabaseOptions;
  readonly fileDir: string | undefined;
  readonly caFile: string | undefined;
  readonly pauses?: Pauses;
}

type DestinationsContext = Pick<
  Context<BaseConfig>,
  "bus" | "log" | "metrics" | "scope" | "secrets" | "stopping" | "report" | "complain"
>;

const readConnections = 4;
const queryTimeoutMs = 30_000;
/** The connection that holds the locks is known to be gone after this. */
const lockTimeoutMs = 10_000;
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
  followAuditConf(context, (sections) => {
    void secrets
      .use("destinations", referencesIn([...sections.values()]))
      .then((isCurrent) => isCurrent && dispatcher.configure(sections));
  });
  return dispatcher;
}

function databaseFor(options: DatabaseOptions, bounds: { connections: number; queryTimeoutMs: number }): Database {
  return new Database(options, {
    name: "sluice-audit-destinations",
    ...auditSchema,
    migrates: false,
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
