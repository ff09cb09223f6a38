import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { LaunchError } from "./part.ts";
import type { Part, PartName } from "./part.ts";
import { spawnService } from "./spawn-service.ts";
import type { ServiceExit, ServiceProcess } from "./spawn-service.ts";

const READY_DEADLINE_MS = 60_000;
/** A crashed launcher's servers take up to 3 s to end (see the watchdog); the next start waits for them. */
const LOCK_WAIT_S = 5;
const LOCK_TAKEN_CODE = 75;
const PORT_ATTEMPTS = 5;
const TAIL_LINES = 12;

/** How a server of this machine is run on a data directory. */
export interface Recipe {
  name: PartName;
  version: string;
  source: "machine" | "fetched";
  dataDir: string;
  /** Asked before each start. */
  command(port: number): Promise<{ command: string; args: string[]; env?: NodeJS.ProcessEnv }>;
  url(port: number): string;
  /** The line by which the server says that it serves. */
  ready: RegExp;
  stopSignal: NodeJS.Signals;
}

/** Resolves when the server serves; a port that was not asked for is chosen anew where somebody took it meanwhile. */
export async function startLocalPart(recipe: Recipe, wantedPort?: number): Promise<Part> {
  await mkdir(recipe.dataDir, { recursive: true });
  const attempts = wantedPort === undefined ? PORT_ATTEMPTS : 1;
  for (let attempt = 1; ; attempt++) {
    const port = wantedPort ?? (await freePort());
    try {
      return partOf(recipe, port, await run(recipe, port));
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === attempts) throw error;
    }
  }
}

class PortTaken extends LaunchError {}

function partOf(recipe: Recipe, port: number, started: ServiceProcess): Part {
  const { promise: lost, resolve: reportLost } = Promise.withResolvers<string>();
  let server = started;
  let asked = false;
  const watch = (process: ServiceProcess): void => {
    void process.exit.then((exit) => {
      if (!asked && process === server) reportLost(`${recipe.name} ended (${describe(exit)}); see ${logFile(recipe)}`);
    });
  };
  watch(server);
  const stop = async (): Promise<void> => {
    asked = true;
    await server.stop();
  };
  return {
    name: recipe.name,
    url: recipe.url(port),
    version: recipe.version,
    source: recipe.source,
    get pid() {
      return server.running ? server.pid : undefined;
    },
    lost,
    stop,
    async kill(signal) {
      asked = true;
      server.kill(signal);
      await server.exit;
    },
    async restart() {
      await stop();
      server = await run(recipe, port);
      asked = false;
      watch(server);
    },
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * flock(1) hands the lock on to the server, and the kernel drops it with the server's last process: two servers
 * can't share a directory, and nothing that a kill -9 leaves behind blocks the next start.
 */
async function run(recipe: Recipe, port: number): Promise<ServiceProcess> {
  const { command, args, env } = await recipe.command(port);
  const tail: string[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<"ready">();
  const lock = ["--no-fork", "--timeout", `${LOCK_WAIT_S}`, "--conflict-exit-code", `${LOCK_TAKEN_CODE}`];
  const server = await spawnService({
    name: recipe.name,
    command: "flock",
    args: [...lock, join(recipe.dataDir, `${recipe.name}.lock`), command, ...args],
    env: { ...process.env, LC_ALL: "C", ...env },
    cwd: "/",
    logFile: logFile(recipe),
    stopSignal: recipe.stopSignal,
    onLine(line) {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      if (recipe.ready.test(line)) resolve("ready");
    },
  });
  const { promise: late, resolve: giveUp } = Promise.withResolvers<"late">();
  const timer = setTimeout(() => giveUp("late"), READY_DEADLINE_MS);
  const outcome = await Promise.race([ready, server.exit, late]);
  clearTimeout(timer);
  if (outcome === "ready") return server;
  if (outcome !== "late") throw startFailure(recipe, outcome, { port, tail });
  await server.stop("SIGKILL");
  throw new LaunchError(`${recipe.name} was not ready after ${READY_DEADLINE_MS / 1000} s:\n${tail.join("\n")}`);
}

function startFailure(recipe: Recipe, exit: ServiceExit, seen: { port: number; tail: string[] }): LaunchError {
  if (exit.code === LOCK_TAKEN_CODE) {
    return new LaunchError(
      `${recipe.dataDir} is in use: another ${recipe.name} runs on it. Stop that instance or choose another data directory`,
    );
  }
  const output = seen.tail.join("\n");
  if (/address already in use/i.test(output)) {
    return new PortTaken(`${recipe.name} can't listen on 127.0.0.1:${seen.port}: the port is taken. Choose another`);
  }
  return new LaunchError(`${recipe.name} ended while starting (${describe(exit)}):\n${output}`);
}

function describe({ code, signal }: ServiceExit): string {
  return signal ?? `exit code ${code}`;
}

function logFile(recipe: Recipe): string {
  return join(recipe.dataDir, `${recipe.name}.log`);
}
