import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { freePort, spawnService, type House } from "@sluice/launcher";
import { demoAgents, demoTenantsYaml } from "./conf.ts";

/** The demo: the official everything server as upstream, three agents with the rules of seed 001. */
export interface Demo extends AsyncDisposable {
  readonly confDir: string;
  readonly keys: Readonly<Record<string, string>>;
  readonly lost: Promise<string>;
  /** Writes `demo.json`: what a program needs to use the demo. */
  writeFile(house: House): Promise<void>;
}

export interface DemoOptions {
  readonly dataDir: string;
  readonly onProgress: (line: string) => void;
}

const demoTenant = "demo";

export async function startDemo({ dataDir, onProgress }: DemoOptions): Promise<Demo> {
  const confDir = join(dataDir, "conf");
  await mkdir(confDir, { recursive: true });
  const keys = await demoKeys(dataDir);
  const secretFile = join(dataDir, "demo-signing-secret");
  await keep(secretFile, () => randomBytes(32).toString("base64url"));
  onProgress("starting the demo upstream");
  const port = await freePort();
  const upstream = await startEverything(port, join(dataDir, "logs", "demo-upstream.log"));
  const hashes = Object.fromEntries(Object.entries(keys).map(([agent, key]) => [agent, `sha256:${sha256(key)}`]));
  await writeFile(join(confDir, "tenants.yaml"), demoTenantsYaml({ port, hashes, secretFile }));
  return {
    confDir,
    keys,
    lost: upstream.exit.then(({ code, signal }) => `the demo upstream ended (${signal ?? code})`),
    writeFile: async (house) => {
      const agents = Object.fromEntries(Object.entries(keys).map(([agent, apiKey]) => [agent, { apiKey }]));
      const demo = { url: house.url, adminUrl: house.adminUrl, tenant: demoTenant, agents };
      await writeFile(join(dataDir, "demo.json"), `${JSON.stringify(demo, null, 2)}\n`, { mode: 0o600 });
    },
    [Symbol.asyncDispose]: async () => void (await upstream.stop()),
  };
}

/** The official server listens on every interface by itself; loopback.js confines it. It gets no environment of ours to show. */
async function startEverything(port: number, logFile: string) {
  const main = createRequire(import.meta.url).resolve("@modelcontextprotocol/server-everything/dist/index.js");
  const listening = Promise.withResolvers<void>();
  const upstream = await spawnService({
    name: "demo upstream",
    command: process.execPath,
    args: ["--import", fileURLToPath(new URL("./loopback.js", import.meta.url)), main, "streamableHttp"],
    env: { PORT: String(port), PATH: process.env["PATH"] ?? "" },
    logFile,
    onLine: (line) => {
      if (line.includes("listening on port")) listening.resolve();
    },
  });
  void upstream.exit.then(() =>
    listening.reject(new Error(`the demo upstream could not start; its log is ${logFile}`)),
  );
  await listening.promise;
  return upstream;
}

async function demoKeys(dataDir: string): Promise<Record<string, string>> {
  const text = await keep(join(dataDir, "demo-keys.json"), () =>
    JSON.stringify(
      Object.fromEntries(demoAgents.map((agent) => [agent.id, `slk_${randomBytes(32).toString("base64url")}`])),
    ),
  );
  return JSON.parse(text) as Record<string, string>;
}

/** The content of a file that only its owner may read, made at the first start. */
async function keep(file: string, make: () => string): Promise<string> {
  try {
    await writeFile(file, make(), { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return await readFile(file, "utf8");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
