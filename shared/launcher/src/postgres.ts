import { randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { cacheDirOf } from "./binaries.ts";
import type { Binary } from "./binaries.ts";
import { startLocalPart } from "./local-part.ts";
import { LaunchError } from "./part.ts";
import type { LaunchOptions, Part } from "./part.ts";
import { bundledPostgres, installedPostgres } from "./postgres-binaries.ts";
import { asUser, userFor } from "./postgres-user.ts";
import { DATABASE, SUPERUSER, ensureCluster } from "./postgres-cluster.ts";
import { resolvePart } from "./resolve-part.ts";
import { major } from "./version.ts";

/** Durable as it comes (fsync stays on), with the memory of a small machine. */
const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  shared_buffers: "32MB",
  max_wal_size: "256MB",
  jit: "off",
  lc_messages: "C",
  log_checkpoints: "off",
  logging_collector: "off",
};

/** Drops the lock file of a server that a kill -9 ended; flock(1) holds the directory by now, so nobody lives in it. */
const START = 'rm -f "$1/postmaster.pid"; shift; exec "$@"';

/** Postgres on loopback TCP with a database `sluice`, whose superuser's password lies in dataDir. */
export function startPostgres(options: LaunchOptions): Promise<Part> {
  const env = options.env ?? process.env;
  const password = randomBytes(24).toString("base64url");
  return resolvePart(
    {
      name: "postgres",
      urlVariable: "DATABASE_URL",
      minimum: "15.0",
      install: "postgresql",
      installed: async () => ofSameMajor(await installedPostgres(env), await existingMajor(options)),
      fetched: () => bundledPostgres(cacheDirOf(env)),
      start: (binary) => startBinary(binary, options),
      container: {
        name: "postgres",
        image: "postgres:18-alpine",
        port: 5432,
        environment: { POSTGRES_USER: SUPERUSER, POSTGRES_DB: DATABASE, POSTGRES_PASSWORD: password },
        url: (port) => urlOf(port, password),
        ready: /database system is ready to accept connections/,
        readyTimes: 2,
      },
    },
    options,
  );
}

async function startBinary(binary: Binary, options: LaunchOptions): Promise<Part> {
  const dataDir = resolve(options.dataDir);
  const existing = await existingMajor(options);
  if (existing !== undefined && existing !== major(binary.version)) {
    throw new LaunchError(
      `${dataDir} holds data of Postgres ${existing}, found is ${binary.version}. Install Postgres ${existing}, set DATABASE_URL, or choose another data directory`,
    );
  }
  await mkdir(dataDir, { recursive: true });
  const user = await userFor(dataDir, dirname(binary.path));
  const cluster = await ensureCluster({ dataDir, binary, user, onProgress: options.onProgress });
  return startLocalPart(
    {
      name: "postgres",
      version: binary.version,
      source: binary.source,
      dataDir,
      url: (port) => urlOf(port, cluster.password),
      ready: /database system is ready to accept connections/,
      stopSignal: "SIGINT",
      command: async (port) => {
        const settings = Object.entries({ ...SETTINGS, port }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
        const server = [
          "/bin/sh",
          "-c",
          START,
          "postgres",
          cluster.pgdata,
          binary.path,
          "-D",
          cluster.pgdata,
          ...settings,
        ];
        return { ...asUser(user, server), ...(binary.env && { env: binary.env }) };
      },
    },
    options.port,
  );
}

function urlOf(port: number, password: string): string {
  return `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${DATABASE}`;
}

/** A major version reads only its own data: data that is there decides between the installed ones. */
function ofSameMajor(binaries: Binary[], existing: number | undefined): Binary[] {
  return existing === undefined ? binaries : binaries.filter((binary) => major(binary.version) === existing);
}

async function existingMajor(options: LaunchOptions): Promise<number | undefined> {
  const file = join(resolve(options.dataDir), "cluster/pgdata/PG_VERSION");
  try {
    return major((await readFile(file, "utf8")).trim());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new LaunchError(
      `${file} can't be read: ${(error as Error).message}. It belongs to the user who started it first`,
    );
  }
}
