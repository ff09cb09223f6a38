import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Binary } from "./binaries.ts";
import { LaunchError } from "./part.ts";
import { asUser } from "./postgres-user.ts";
import type { ServerUser } from "./postgres-user.ts";

export const SUPERUSER = "sluice";
export const DATABASE = "sluice";

const DEADLINE_MS = 60_000;

export interface Cluster {
  pgdata: string;
  password: string;
}

interface Wanted {
  dataDir: string;
  binary: Binary;
  user: ServerUser | undefined;
  onProgress: ((line: string) => void) | undefined;
}

/** The data directory and its password; made aside and named when whole, so that a broken-off first start leaves nothing half made. */
export async function ensureCluster(wanted: Wanted): Promise<Cluster> {
  const cluster = join(wanted.dataDir, "cluster");
  const existing = await readPassword(cluster);
  if (existing !== undefined) return { pgdata: join(cluster, "pgdata"), password: existing };
  wanted.onProgress?.(`making a Postgres ${wanted.binary.version} database`);
  const work = await mkdtemp(join(wanted.dataDir, ".cluster-"));
  try {
    await makeCluster(work, wanted);
    await rename(work, cluster).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const password = await readPassword(cluster);
  if (password === undefined)
    throw new LaunchError(`${cluster} has no password file; delete the directory to begin anew`);
  return { pgdata: join(cluster, "pgdata"), password };
}

async function makeCluster(work: string, { binary, user }: Wanted): Promise<void> {
  const password = join(work, "password");
  const pgdata = join(work, "pgdata");
  await writeFile(password, randomBytes(24).toString("base64url"), { mode: 0o600 });
  if (user) for (const path of [work, password]) await chown(path, user.uid, user.gid);
  await chmod(work, 0o700);
  const env = { ...process.env, LC_ALL: "C", ...binary.env };
  const initdb = join(dirname(binary.path), "initdb");
  const locale = ["--encoding=UTF8", "--locale=C.UTF-8"];
  const login = ["-U", SUPERUSER, "--pwfile", password, "--auth-host=scram-sha-256", "--auth-local=scram-sha-256"];
  await run(asUser(user, [initdb, "-D", pgdata, ...locale, ...login]), { env });
  await run(asUser(user, [binary.path, "--single", "-D", pgdata, "postgres"]), {
    env,
    input: `CREATE DATABASE ${DATABASE}\n`,
  });
}

async function run(
  program: { command: string; args: string[] },
  given: { env: NodeJS.ProcessEnv; input?: string },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = execFile(
    program.command,
    program.args,
    { env: given.env, cwd: "/", timeout: DEADLINE_MS },
    (error, _, stderr) => {
      if (error) reject(new LaunchError(`Postgres could not make its database: ${stderr.trim() || error.message}`));
      else resolve();
    },
  );
  child.stdin?.end(given.input ?? "");
  return promise;
}

async function readPassword(cluster: string): Promise<string | undefined> {
  const file = join(cluster, "password");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new LaunchError(
      `${file} can't be read: ${(error as Error).message}. It belongs to the user who started it first`,
    );
  }
}
