import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fetchPackages } from "./apt-fetch.ts";
import { binariesNamed, binaryAt, cacheDirOf } from "./binaries.ts";
import type { Binary } from "./binaries.ts";
import { startLocalPart } from "./local-part.ts";
import { LaunchError } from "./part.ts";
import type { LaunchOptions, Part } from "./part.ts";
import { resolvePart } from "./resolve-part.ts";

/** redis-tools holds the binary; the others are the libraries that a bare Debian lacks. */
const PACKAGES = [
  "redis-server",
  "redis-tools",
  "libjemalloc2",
  "liblua5.1-0",
  "liblzf1",
  "lua-cjson",
  "lua-bitop",
  "libatomic1",
  "libssl3",
];

export interface RedisOptions extends LaunchOptions {
  /** Default: none; only this machine can connect. */
  password?: string;
}

/** Redis on loopback that appends every write to its file under dataDir (fsync once a second). */
export function startRedis(options: RedisOptions): Promise<Part> {
  const env = options.env ?? process.env;
  const url = (port: number): string =>
    `redis://${options.password === undefined ? "" : `:${encodeURIComponent(options.password)}@`}127.0.0.1:${port}`;
  return resolvePart(
    {
      name: "redis",
      urlVariable: "REDIS_URL",
      minimum: "7.0",
      install: "redis-server",
      installed: () => binariesNamed("redis-server", env),
      fetched: () => fetchRedis(cacheDirOf(env), options.onProgress),
      start: (binary) => startBinary(binary, options, url),
      container: {
        name: "redis",
        image: "redis:7-alpine",
        port: 6379,
        command: ["redis-server", "/etc/sluice-redis.conf"],
        files: [
          { target: "/etc/sluice-redis.conf", content: configText(options, { host: "*", port: 6379, dir: "/data" }) },
        ],
        url,
        ready: /Ready to accept connections/,
      },
    },
    options,
  );
}

async function startBinary(binary: Binary, options: RedisOptions, url: (port: number) => string): Promise<Part> {
  const dataDir = resolve(options.dataDir);
  const file = join(dataDir, "redis.conf");
  return startLocalPart(
    {
      name: "redis",
      version: binary.version,
      source: binary.source,
      dataDir,
      url,
      ready: /Ready to accept connections/,
      stopSignal: "SIGTERM",
      async command(port) {
        await mkdir(dataDir, { recursive: true });
        await writeFile(file, configText(options, { host: "127.0.0.1", port, dir: dataDir }), { mode: 0o600 });
        return { command: binary.path, args: [file], ...(binary.env && { env: binary.env }) };
      },
    },
    options.port,
  );
}

function configText(options: RedisOptions, at: { host: string; port: number; dir: string }): string {
  return [
    `bind ${at.host}`,
    `port ${at.port}`,
    `dir ${JSON.stringify(at.dir)}`,
    `protected-mode ${at.host === "*" ? "no" : "yes"}`,
    "daemonize no",
    "appendonly yes",
    'save ""',
    "maxmemory-policy noeviction",
    ...(options.password === undefined ? [] : [`requirepass ${JSON.stringify(options.password)}`]),
    "",
  ].join("\n");
}

async function fetchRedis(cacheDir: string, onProgress?: (line: string) => void): Promise<Binary> {
  const dir = await fetchPackages({ name: "redis", suites: ["bookworm"], packages: PACKAGES, cacheDir, onProgress });
  const lib = join(dir, "usr/lib");
  const triplets = (await readdir(lib)).filter((name) => name.includes("-linux-")).map((name) => join(lib, name));
  const binary = await binaryAt(join(dir, "usr/bin/redis-server"), { LD_LIBRARY_PATH: triplets.join(":") });
  if (!binary)
    throw new LaunchError(
      `the redis-server fetched into ${dir} does not run here; delete that directory to fetch it again`,
    );
  return binary;
}
