import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { mirrorsOf } from "./apt-sources.ts";
import type { Mirror } from "./apt-sources.ts";
import { LaunchError } from "./part.ts";

const run = promisify(execFile);
const COMMAND_DEADLINE_MS = 120_000;

export interface Fetch {
  /** Names the directory in the cache. */
  name: string;
  suites: string[];
  packages: string[];
  cacheDir: string;
  onProgress?: ((line: string) => void) | undefined;
}

const underWay = new Map<string, Promise<string>>();

/**
 * The directory with the packages' files in it, fetched from this machine's own mirrors where the cache has none.
 * apt works on lists, cache and sources of its own: nothing outside the cache changes, and root is not needed.
 * Processes may do this at once: each fetches aside and the first to finish gives the directory its name.
 */
export async function fetchPackages(fetch: Fetch): Promise<string> {
  const target = join(fetch.cacheDir, `${fetch.name}-${process.arch}`);
  if (await exists(target)) return target;
  const pending = underWay.get(target) ?? fetchInto(target, fetch).finally(() => underWay.delete(target));
  underWay.set(target, pending);
  return pending;
}

async function fetchInto(target: string, fetch: Fetch): Promise<string> {
  const mirrors = await mirrorsOf();
  if (mirrors.length === 0) throw new LaunchError("this machine's apt sources name no Debian archive to fetch from");
  await mkdir(fetch.cacheDir, { recursive: true });
  const failures: string[] = [];
  for (const mirror of mirrors) {
    for (const suite of fetch.suites) {
      const work = await mkdtemp(join(fetch.cacheDir, ".fetch-"));
      try {
        fetch.onProgress?.(`fetching ${fetch.packages[0]} from Debian ${suite}`);
        await fetchAside(work, { suite, mirror, packages: fetch.packages });
        await publish(join(work, "tree"), target);
        return target;
      } catch (error) {
        failures.push(`${suite}: ${withoutCredentials(reasonOf(error))}`);
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    }
  }
  throw new LaunchError(`fetching ${fetch.packages[0]} failed (${failures.join("; ")})`);
}

async function fetchAside(work: string, wanted: { suite: string; mirror: Mirror; packages: string[] }): Promise<void> {
  for (const dir of ["none.d", "lists/partial", "cache/archives/partial", "debs", "tree"]) {
    await mkdir(join(work, dir), { recursive: true });
  }
  const config = join(work, "apt.conf");
  await writeFile(config, await aptConfig(work), { mode: 0o600 });
  await writeFile(join(work, "status"), "");
  await writeFile(join(work, "from.sources"), sourceStanza(wanted.mirror, wanted.suite), { mode: 0o600 });
  const options = {
    cwd: join(work, "debs"),
    timeout: COMMAND_DEADLINE_MS,
    env: { ...process.env, APT_CONFIG: config, LC_ALL: "C" },
  };
  await run("apt-get", ["update", "-qq"], options);
  await run("apt-get", ["download", "-qq", ...wanted.packages], options);
  for (const deb of await readdir(options.cwd)) await run("dpkg-deb", ["-x", deb, join(work, "tree")], options);
}

/** The machine's way to the network (proxies, timeouts) is kept; its hooks, pins and lists are not. */
async function aptConfig(work: string): Promise<string> {
  const { stdout } = await run("apt-config", ["dump", "Acquire"]);
  const network = stdout
    .split("\n")
    .filter((line) => /^Acquire::(https?|ftp|tor|Check-|Max-|Force|Retries|Proxy)/i.test(line));
  const none = join(work, "none.d");
  return [
    ...network,
    `Dir::State "${work}";`,
    `Dir::State::lists "${work}/lists";`,
    `Dir::State::status "${work}/status";`,
    `Dir::Cache "${work}/cache";`,
    `Dir::Etc::main "${none}/main";`,
    `Dir::Etc::parts "${none}";`,
    `Dir::Etc::sourcelist "${work}/from.sources";`,
    `Dir::Etc::sourceparts "${none}";`,
    `Dir::Etc::preferences "${none}/preferences";`,
    `Dir::Etc::preferencesparts "${none}";`,
    'APT::Sandbox::User "";',
    'Acquire::Languages "none";',
    "",
  ].join("\n");
}

function sourceStanza({ uri, signedBy, trusted }: Mirror, suite: string): string {
  const stanza = ["Types: deb", `URIs: ${uri}`, `Suites: ${suite}`, "Components: main"];
  if (signedBy !== undefined) stanza.push(`Signed-By: ${signedBy}`);
  if (trusted !== undefined) stanza.push(`Trusted: ${trusted}`);
  return `${stanza.join("\n")}\n`;
}

async function publish(tree: string, target: string): Promise<void> {
  try {
    await rename(tree, target);
  } catch (error) {
    if (!(await exists(target))) throw error;
  }
}

function reasonOf(error: unknown): string {
  const { stderr, code, message } = error as Error & { stderr?: string; code?: string };
  if (code === "ENOENT") return "apt-get and dpkg-deb are needed and not there";
  const lines = stderr?.split("\n").filter((line) => line.startsWith("E:"));
  return lines?.length ? lines.join(" ") : message;
}

function withoutCredentials(text: string): string {
  return text.replace(/\/\/[^/@\s]+@/g, "//***@");
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
