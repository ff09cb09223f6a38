import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fetchPackages } from "./apt-fetch.ts";
import { binariesNamed, binaryAt, cacheDirOf } from "./binaries.ts";
import type { Binary } from "./binaries.ts";
import { startLocalPart } from "./local-part.ts";
import { LaunchError } from "./part.ts";
import type { LaunchOptions, Part } from "./part.ts";
import { resolvePart } from "./resolve-part.ts";

export interface NatsOptions extends LaunchOptions {
  /** More nats.conf text: accounts, authorization, limits. Kept from other users of the machine. */
  config?: string;
  /** JetStream's sync_interval: "always" or a duration; default: the server's two minutes. */
  syncInterval?: string;
}

/** NATS with JetStream on loopback, its streams under dataDir. */
export function startNats(options: NatsOptions): Promise<Part> {
  const env = options.env ?? process.env;
  return resolvePart(
    {
      name: "nats",
      urlVariable: "NATS_URL",
      minimum: "2.10",
      install: "nats-server",
      installed: () => binariesNamed("nats-server", env),
      fetched: () => fetchNats(cacheDirOf(env), options.onProgress),
      start: (binary) => startBinary(binary, options),
      container: {
        name: "nats",
        image: "nats:2.12-alpine",
        port: 4222,
        command: ["--config", "/etc/sluice-nats.conf"],
        files: [
          {
            target: "/etc/sluice-nats.conf",
            content: configText(options, { host: "0.0.0.0", port: 4222, storeDir: "/data" }),
          },
        ],
        url: (port) => `nats://127.0.0.1:${port}`,
        ready: /Server is ready/,
      },
    },
    options,
  );
}

async function startBinary(binary: Binary, options: NatsOptions): Promise<Part> {
  const dataDir = resolve(options.dataDir);
  const file = join(dataDir, "nats.conf");
  return startLocalPart(
    {
      name: "nats",
      version: binary.version,
      source: binary.source,
      dataDir,
      url: (port) => `nats://127.0.0.1:${port}`,
      ready: /Server is ready/,
      stopSignal: "SIGTERM",
      async command(port) {
        await mkdir(dataDir, { recursive: true });
        const text = configText(options, { host: "127.0.0.1", port, storeDir: join(dataDir, "jetstream") });
        await writeFile(file, text, { mode: 0o600 });
        return { command: binary.path, args: ["--config", file] };
      },
    },
    options.port,
  );
}

function configText(options: NatsOptions, at: { host: string; port: number; storeDir: string }): string {
  return [
    `host: ${JSON.stringify(at.host)}`,
    `port: ${at.port}`,
    "jetstream {",
    `  store_dir: ${JSON.stringify(at.storeDir)}`,
    ...(options.syncInterval === undefined ? [] : [`  sync_interval: ${options.syncInterval}`]),
    "}",
    options.config ?? "",
    "",
  ].join("\n");
}

async function fetchNats(cacheDir: string, onProgress?: (line: string) => void): Promise<Binary> {
  const dir = await fetchPackages({
    name: "nats-server",
    suites: ["trixie", "sid"],
    packages: ["nats-server"],
    cacheDir,
    onProgress,
  });
  const binary =
    (await binaryAt(join(dir, "usr/sbin/nats-server"))) ?? (await binaryAt(join(dir, "usr/bin/nats-server")));
  if (!binary)
    throw new LaunchError(
      `the nats-server fetched into ${dir} does not run here; delete that directory to fetch it again`,
    );
  return binary;
}
