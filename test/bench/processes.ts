/** Starts and stops the bench's own processes: upstream, baseline, load generator. */
import { createHash } from "node:crypto";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { LoadCommand, LoadResult, Target } from "./load.ts";
import type { NamedProcess } from "./proc.ts";
import type { TenantName, Workload } from "./workloads.ts";

export interface Started<Ready> extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ready: Ready;
}

interface ChildOptions {
  readonly env?: Record<string, string>;
  readonly nodeArgs?: string[];
}

const startDeadlineMs = 15_000;
const stopDeadlineMs = 5_000;

/** Starts a file of this directory and waits for its first word. */
async function start<Ready>(file: string, options: ChildOptions = {}): Promise<Started<Ready>> {
  const child = fork(join(import.meta.dirname, file), {
    execArgv: options.nodeArgs ?? [],
    env: { ...process.env, NODE_ENV: "production", ...options.env },
  });
  const ready = (await answerOf(child, file, startDeadlineMs)) as Ready;
  return { child, pid: child.pid ?? 0, ready, [Symbol.asyncDispose]: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill("SIGKILL"), stopDeadlineMs);
  await exit;
  clearTimeout(timer);
}

function answerOf(child: ChildProcess, name: string, deadlineMs: number): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const onExit = () => reject(new Error(`${name} has ended`));
  const timer = setTimeout(() => reject(new Error(`${name} has not answered within ${deadlineMs} ms`)), deadlineMs);
  child.once("message", resolve).once("exit", onExit).once("error", reject);
  return promise.finally(() => {
    clearTimeout(timer);
    child.off("message", resolve).off("exit", onExit).off("error", reject);
  });
}

export interface UpstreamProcess extends AsyncDisposable {
  readonly port: number;
  /** How many requests it got so far. */
  requests(): Promise<number>;
}

export async function startUpstream(): Promise<UpstreamProcess> {
  const { child, ready, [Symbol.asyncDispose]: dispose } = await start<{ port: number }>("upstream.ts");
  const requests = async (): Promise<number> => {
    const answer = answerOf(child, "upstream", startDeadlineMs);
    child.send("count");
    return ((await answer) as { requests: number }).requests;
  };
  return { port: ready.port, requests, [Symbol.asyncDispose]: dispose };
}

/** The agents' keys, and the secret that the baseline and Sluice share. */
export interface Credentials {
  readonly keys: Readonly<Record<TenantName, string>>;
  readonly secret: string;
}

export function sha256(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

export function startBaseline(
  upstreamPort: number,
  credentials: Credentials,
  nodeArgs: string[],
): Promise<Started<{ port: number }>> {
  const env = {
    BENCH_UPSTREAM: `http://127.0.0.1:${upstreamPort}`,
    BENCH_KEY_SHA256: sha256(credentials.keys.bench),
    BENCH_SECRET: credentials.secret,
  };
  return start("baseline.ts", { env, nodeArgs });
}

/** What the load is sent at, and whose CPU is counted for it. */
export interface Subject {
  readonly name: "baseline" | "sluice";
  /** Undefined for what it cannot do. */
  readonly targetOf: (workload: Workload) => Target | undefined;
  readonly processes: readonly NamedProcess[];
  /** Where its audit service tells its health and metrics. */
  readonly auditHealth?: string | undefined;
}

export interface Load extends AsyncDisposable {
  readonly pid: number;
  /** Throws where the generator refuses; a run that fails says so in its result. */
  send(command: LoadCommand): Promise<LoadResult>;
}

export async function startLoad(): Promise<Load> {
  const { child, pid, [Symbol.asyncDispose]: dispose } = await start("load.ts");
  const send = async (command: LoadCommand): Promise<LoadResult> => {
    const answer = answerOf(
      child,
      "load generator",
      command.do === "run" ? command.durationMs + 60_000 : startDeadlineMs,
    );
    child.send(command);
    const result = (await answer) as LoadResult;
    if (result.failure) throw new Error(result.failure);
    return result;
  };
  return { pid, send, [Symbol.asyncDispose]: dispose };
}
