import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { isAtLeast, versionIn } from "./version.ts";

const run = promisify(execFile);

/** Administrators' directories, which an ordinary user's PATH leaves out. */
const MORE_DIRS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

export interface Binary {
  path: string;
  version: string;
  source: "machine" | "fetched";
  /** What the binary needs in its environment. */
  env?: NodeJS.ProcessEnv;
}

/** A binary of this machine that runs, whatever its version. */
export async function binaryAt(path: string, env?: NodeJS.ProcessEnv): Promise<Binary | undefined> {
  const executable = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!executable) return undefined;
  const { stdout } = await run(path, ["--version"], { env: { ...process.env, LC_ALL: "C", ...env } }).catch(() => ({
    stdout: "",
  }));
  const version = versionIn(stdout);
  return version === undefined ? undefined : { path, version, source: "machine", ...(env && { env }) };
}

/** Every binary of that name in PATH and the administrators' directories, in that order. */
export async function binariesNamed(name: string, env: NodeJS.ProcessEnv): Promise<Binary[]> {
  const dirs = new Set([...(env["PATH"] ?? "").split(delimiter).filter(Boolean), ...MORE_DIRS]);
  const found = await Promise.all([...dirs].map((dir) => binaryAt(join(dir, name))));
  return found.filter((binary) => binary !== undefined);
}

/** Splits off what is too old; those are only named, for the error. */
export function newEnough(binaries: Binary[], minimum: string): { usable: Binary[]; refused: string[] } {
  const usable = binaries.filter((binary) => isAtLeast(binary.version, minimum));
  const refused = binaries
    .filter((binary) => !usable.includes(binary))
    .map((binary) => `${binary.path} is ${binary.version}, ${minimum} or newer is needed`);
  return { usable, refused };
}

/** Where fetched binaries are kept: SLUICE_CACHE, or .sluice/parts in the repository. */
export function cacheDirOf(env: NodeJS.ProcessEnv): string {
  return resolve(env["SLUICE_CACHE"] || join(import.meta.dirname, "../../../.sluice/parts"));
}
