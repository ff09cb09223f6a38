/** Starts Sluice as a user would, everything on, with a configuration and data directory of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { a2aHeldPath, a2aPath, a2aVersion } from "./a2a-messages.ts";
import type { Target } from "./load.ts";
import { isAlive, treeOf, type NamedProcess } from "./proc.ts";
import { sha256, type Credentials, type Subject } from "./processes.ts";
import { agents, fewRules, manyAgents, rules } from "./rule-tenants.ts";
import { federatedNames, protocolVersion, requestBody, tenantNames, workloads, type TenantName } from "./workloads.ts";

/** `<data>/run.json` of `sluice up`. */
interface RunFile {
  readonly url: string;
  readonly services: readonly (NamedProcess & { readonly health: string })[];
  readonly parts: readonly { readonly name: string; readonly pid?: number }[];
}

export interface SluiceOptions {
  readonly upstreamPort: number;
  readonly credentials: Credentials;
  /** Where CPU profiles go, should there be any. */
  readonly profileDir?: string;
}

const startDeadlineMs = 180_000;
const stopDeadlineMs = 30_000;
const command = resolve(import.meta.dirname, "../../cli/bin/sluice.mjs");

const hugeLimit = { maxRequests: 1_000_000_000, windowSeconds: 60 };

function tenants(options: SluiceOptions, secretFile: string): object {
  const endpoint = (name: string, path: string) => ({
    name,
    url: `http://127.0.0.1:${options.upstreamPort}${path}`,
    signing: { keyId: "bench", secret: `\${file:${secretFile}}` },
  });
  const agent = (name: string, path: string) => ({ ...endpoint(name, path), version: a2aVersion, binding: "JSONRPC" });
  const one = [endpoint("bench", "/mcp")];
  const several = federatedNames.map((name) => endpoint(name, `/mcp/${name}`));
  const unkept = { listCacheSeconds: 0 };
  const endpoints: Record<TenantName, object[]> = {
    bench: one,
    "bench-uncached": one.map((each) => ({ ...each, ...unkept })),
    "bench-federated": several,
    "bench-federated-uncached": several.map((each) => ({ ...each, ...unkept })),
    "bench-rules-few": one,
    "bench-rules-many": one,
  };
  const { keys } = options.credentials;
  const aboutRules: Partial<Record<TenantName, object>> = {
    "bench-rules-few": { agents: agents(keys["bench-rules-few"], 10), accessRules: fewRules, limits: [] },
    "bench-rules-many": { agents: agents(keys["bench-rules-many"], manyAgents), accessRules: rules, limits: [] },
  };
  const tenant = (name: TenantName) => ({
    agents: [{ id: "bench-1", apiKeys: [`sha256:${sha256(keys[name])}`] }],
    mcp: { endpoints: endpoints[name] },
    a2a: { endpoints: name === "bench" ? [agent("bench", a2aPath), agent("held", a2aHeldPath)] : [] },
    accessRules: [
      { agentPattern: "other-*", allowedTools: ["*"], deniedTools: ["echo-*"] },
      { agentPattern: "bench-*", allowedTools: ["echo-*", "stream-*", "tool-*"], deniedTools: ["delete-*"] },
    ],
    limits: [
      { path: "/mcp/tools/call", ...hugeLimit },
      { path: "/mcp/tools/list", ...hugeLimit },
      { path: "/a2a/tasks/send", ...hugeLimit },
      { path: "/a2a/tasks/sendSubscribe", ...hugeLimit },
    ],
    ...aboutRules[name],
  });
  return { tenants: Object.fromEntries(tenantNames.map((name) => [name, tenant(name)])) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** JSON is YAML. The directories can be read by Postgres' own user, the secret cannot. */
async function prepare(options: SluiceOptions): Promise<{ dir: string; conf: string; data: string }> {
  const dir = await mkdtemp(join(tmpdir(), "sluice-bench-"));
  await chmod(dir, 0o755);
  const [conf, data, secretFile] = [join(dir, "conf"), join(dir, "data"), join(dir, "secret")];
  await Promise.all([mkdir(conf), mkdir(data), writeFile(secretFile, options.credentials.secret, { mode: 0o600 })]);
  await writeFile(join(conf, "tenants.yaml"), JSON.stringify(tenants(options, secretFile), null, 2));
  return { dir, conf, data };
}

/** NATS, Redis and Postgres are always Sluice's own here: others could neither be counted nor be left clean. The upstream is on this machine. */
function environment(profileDir: string | undefined): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_ENV: "production" };
  for (const name of ["NATS_URL", "REDIS_URL", "DATABASE_URL", "UPSTREAM_NETWORKS"]) delete env[name];
  if (profileDir)
    env.NODE_OPTIONS = `${env.NODE_OPTIONS ?? ""} --cpu-prof --cpu-prof-dir=${JSON.stringify(profileDir)}`.trim();
  return env;
}

/** Ends the process should this one be killed. */
function guard(pid: number): ChildProcess {
  const script = `read _; kill -TERM ${pid}`;
  const child = spawn("/bin/sh", ["-c", script], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
  child.unref();
  return child;
}

/** What it starts is on the stack before it is waited for, so that a stop during the start leaves nothing behind. */
export async function startSluice(options: SluiceOptions, stack: AsyncDisposableStack): Promise<Subject> {
  const { dir, conf, data } = await prepare(options);
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const logFile = join(dir, "sluice.log");
  const log = openSync(logFile, "a");
  const args = [command, "up", "--conf", conf, "--port", String(await freePort()), "--data", data, "--no-demo"];
  const up = spawn(process.execPath, args, {
    detached: true,
    stdio: ["ignore", log, log],
    env: environment(options.profileDir),
  });
  closeSync(log);
  const watcher = guard(up.pid ?? 0);
  const started: number[] = [];
  stack.defer(async () => {
    await stop(up, started);
    watcher.kill("SIGKILL");
  });
  try {
    const subject = subjectOf(await untilReady(up, data), up, options.credentials);
    started.push(...subject.processes.map(({ pid }) => pid));
    await untilServing(subject);
    return subject;
  } catch (error) {
    const lines = await readFile(logFile, "utf8").then(
      (text) => text.trimEnd().split("\n").slice(-20).join("\n"),
      () => "",
    );
    throw new Error(`Sluice does not start: ${(error as Error).message}\n${lines}`, { cause: error });
  }
}

async function untilReady(up: ChildProcess, data: string): Promise<RunFile> {
  const untilMs = Date.now() + startDeadlineMs;
  while (Date.now() < untilMs) {
    if (up.exitCode !== null || up.signalCode !== null) throw new Error("`sluice up` has ended");
    const run = await readRunFile(join(data, "run.json"));
    if (run) return run;
    await wait(100);
  }
  throw new Error(`no run.json within ${startDeadlineMs / 1000} s`);
}

/** Undefined until the file is there and whole. */
async function readRunFile(file: string): Promise<RunFile | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as RunFile;
  } catch {
    return undefined;
  }
}

function subjectOf(run: RunFile, up: ChildProcess, { keys }: Credentials): Subject {
  const url = new URL(run.url);
  const parts = run.parts.map(({ name, pid }) => {
    if (!pid) throw new Error(`run.json has no process id for ${name}, so its CPU can't be counted`);
    return { name, pid };
  });
  const processes = [
    ...run.services.map(({ name, pid }) => ({ name, pid })),
    ...parts,
    { name: "up", pid: up.pid ?? 0 },
  ];
  const path = url.pathname === "/" ? "/mcp" : url.pathname;
  return {
    name: "sluice",
    targetOf: ({ tenant, protocol, isWorkstation }) =>
      isWorkstation
        ? undefined
        : { port: Number(url.port), path: protocol === "a2a" ? a2aPath : path, key: keys[tenant] },
    processes,
    auditHealth: run.services.find(({ name }) => name === "audit")?.health,
  };
}

async function firstCall(target: Target | undefined): Promise<string | undefined> {
  if (!target) return "no address";
  const { port, path, key } = target;
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "x-agent-api-key": key,
    "mcp-protocol-version": protocolVersion,
    "mcp-method": "tools/call",
    "mcp-name": "echo-256",
  };
  const body = requestBody(workloads["unary-256"]);
  try {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: "POST",
      headers,
      body,
      signal: AbortSignal.timeout(5_000),
    });
    const text = await answer.text();
    return answer.status === 200 ? undefined : `${answer.status} ${text.slice(0, 300)}`;
  } catch (error) {
    return (error as Error).message;
  }
}

async function untilServing({ targetOf }: Subject): Promise<void> {
  const untilMs = Date.now() + 15_000;
  for (;;) {
    const trouble = await firstCall(targetOf(workloads["unary-256"]));
    if (!trouble) return;
    if (Date.now() > untilMs) throw new Error(`its first call is answered with ${trouble}`);
    await wait(200);
  }
}

async function stop(up: ChildProcess, started: readonly number[]): Promise<void> {
  const tree = new Set([up.pid ?? 0, ...started].flatMap(treeOf));
  if (up.exitCode === null && up.signalCode === null) {
    const exit = once(up, "exit");
    up.kill("SIGTERM");
    await Promise.race([exit, wait(stopDeadlineMs, undefined, { ref: false })]);
  }
  const left = [...tree].filter(isAlive);
  if (left.length === 0) return;
  console.error(`${left.length} processes of Sluice were left at the end and are killed: ${left.join(" ")}`);
  for (const pid of left) process.kill(pid, "SIGKILL");
}
