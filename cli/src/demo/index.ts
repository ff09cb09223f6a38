import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { spawnService, type House } from "@sluice/launcher";
import { demoAgents, demoTenant } from "./conf.ts";
import { keepTenantsFile } from "./tenants-file.ts";

/** The demo's configuration and keys, made or kept. */
export interface DemoPlan {
  readonly confDir: string;
  start(): Promise<Demo>;
}

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

export async function prepareDemo({ dataDir, onProgress }: DemoOptions): Promise<DemoPlan> {
  const confDir = join(dataDir, "conf");
  await mkdir(confDir, { recursive: true });
  const keys = await demoKeys(dataDir);
  const secretFile = join(dataDir, "demo-signing-secret");
  await keep(secretFile, () => randomBytes(32).toString("base64url"));
  const hashes = Object.fromEntries(Object.entries(keys).map(([agent, key]) => [agent, `sha256:${sha256(key)}`]));
  const { port } = await keepTenantsFile(join(confDir, "tenants.yaml"), { hashes, secretFile });
  const start = async (): Promise<Demo> => {
    onProgress("starting the demo upstream");
    const upstream = await startEverything(port, join(dataDir, "logs", "demo-upstream.log"));
    return {
      confDir,
      keys,
      lost: upstream.exit.then(({ code, signal }) => `the demo upstream ended (${signal ?? code})`),
      writeFile: (house) => writeDemoFile(join(dataDir, "demo.json"), house, keys),
      [Symbol.asyncDispose]: async () => void (await upstream.stop()),
    };
  };
  return { confDir, start };
}

function writeDemoFile(file: string, { url, adminUrl }: House, keys: Demo["keys"]): Promise<void> {
  const agents = Object.fromEntries(Object.entries(keys).map(([agent, apiKey]) => [agent, { apiKey }]));
  return writeFile(file, `${JSON.stringify({ url, adminUrl, tenant: demoTenant, agents }, null, 2)}\n`, {
    mode: 0o600,
  });
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
