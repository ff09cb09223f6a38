import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LaunchError } from "./part.ts";

/** Whom Postgres runs as: itself refuses to be root. */
export interface ServerUser {
  uid: number;
  gid: number;
  /** Some directory on the way is closed to that user. */
  shutOut: boolean;
}

/** Undefined where this process is not root. Data that is there keeps its owner; new data goes to `postgres` or `nobody`. */
export async function userFor(dataDir: string, binDir: string): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(join(dataDir, "cluster/pgdata")).catch(() => undefined);
  const user = owner && owner.uid !== 0 ? { uid: owner.uid, gid: owner.gid } : await systemUser();
  const open = (await canReach(dataDir, user)) && (await canReach(binDir, user));
  return { ...user, shutOut: !open };
}

/**
 * The same command run by that user. Where a directory on the way is closed to it (/root, a private temporary
 * directory) the process keeps root's right to pass; initdb asks through access(2), hence the secure bit.
 */
export function asUser(user: ServerUser | undefined, command: string[]): { command: string; args: string[] } {
  const [program = "", ...args] = command;
  if (!user) return { command: program, args };
  const passage = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"];
  const identity = [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
  return { command: "setpriv", args: [...identity, ...(user.shutOut ? passage : []), ...command] };
}

async function systemUser(): Promise<{ uid: number; gid: number }> {
  const rows = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const row = rows.find(([name]) => name === "postgres") ?? rows.find(([name]) => name === "nobody");
  if (!row)
    throw new LaunchError(
      "Postgres does not run as root, and there is no user `postgres` or `nobody` to run it as. Set DATABASE_URL",
    );
  return { uid: Number(row[2]), gid: Number(row[3]) };
}

async function canReach(path: string, user: { uid: number; gid: number }): Promise<boolean> {
  const { mode, uid, gid } = await stat(path);
  const search = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
  if ((mode & search) === 0) return false;
  return dirname(path) === path || canReach(dirname(path), user);
}
