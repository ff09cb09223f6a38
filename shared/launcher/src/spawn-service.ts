import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { mkdir, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { LaunchError } from "./part.ts";
import { guard, unguard } from "./watchdog.ts";

const LARGEST_LOG_BYTES = 10 * 1024 * 1024;
const STOP_DEADLINE_MS = 10_000;

export interface ServiceCommand {
  /** Used in errors. */
  name: string;
  command: string;
  args: string[];
  /** The whole environment of the process; default: this process's. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Output is appended here; above 10 MB the old log is put aside as `.1` at the next start. */
  logFile?: string;
  /** Called with every line of stdout and stderr. */
  onLine?: (line: string) => void;
  /** What asks the process to end; default SIGTERM. */
  stopSignal?: NodeJS.Signals;
}

export interface ServiceExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ServiceProcess {
  readonly name: string;
  readonly pid: number;
  readonly running: boolean;
  /** Settles when the process has ended, whatever ended it, and all that it said is in its log. */
  readonly exit: Promise<ServiceExit>;
  /** Sends the signal to the process; false where it is gone. */
  kill(signal: NodeJS.Signals): boolean;
  /** Asks the process to end, kills its whole group after the deadline (default 10 s), and waits for the end. */
  stop(signal?: NodeJS.Signals, deadlineMs?: number): Promise<ServiceExit>;
}

/**
 * Starts a process in a group of its own, so that a terminal's Ctrl-C reaches only the launcher, which stops
 * things in order. The group never outlives the process itself, nor this one.
 */
export async function spawnService(service: ServiceCommand): Promise<ServiceProcess> {
  const log = service.logFile === undefined ? undefined : await openLog(service.logFile);
  const child = spawn(service.command, service.args, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    ...(service.env && { env: service.env }),
    ...(service.cwd !== undefined && { cwd: service.cwd }),
  });
  const pid = child.pid;
  if (pid === undefined) throw await spawnFailure(service, child);
  const stopSignal = service.stopSignal ?? "SIGTERM";
  guard(pid, stopSignal);
  const ended = whenEnded(child, pid);
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on("line", (line) => {
      log?.write(`${line}\n`);
      service.onLine?.(line);
    });
  }
  const exit = ended.then(async (how) => {
    await flushed(log);
    return how;
  });
  return handle({ name: service.name, pid, child, exit, stopSignal });
}

interface Started {
  name: string;
  pid: number;
  child: ChildProcess;
  exit: Promise<ServiceExit>;
  stopSignal: NodeJS.Signals;
}

function handle({ name, pid, child, exit, stopSignal }: Started): ServiceProcess {
  return {
    name,
    pid,
    exit,
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: (signal) => child.kill(signal),
    async stop(signal = stopSignal, deadlineMs = STOP_DEADLINE_MS) {
      if (!child.kill(signal)) return exit;
      const timer = setTimeout(() => killGroup(pid), deadlineMs);
      try {
        return await exit;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function whenEnded(child: ChildProcess, pid: number): Promise<ServiceExit> {
  const { promise, resolve } = Promise.withResolvers<ServiceExit>();
  child.once("exit", () => {
    killGroup(pid);
    unguard(pid);
  });
  child.once("close", (code, signal) => resolve({ code, signal }));
  return promise;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function spawnFailure(service: ServiceCommand, child: ChildProcess): Promise<LaunchError> {
  const { promise, resolve } = Promise.withResolvers<Error>();
  child.once("error", resolve);
  const cause = await promise;
  return new LaunchError(`${service.name} can't be started: ${service.command}: ${cause.message}`, { cause });
}

/** Where the log can't be written nobody waits for it. */
function flushed(log: WriteStream | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (log === undefined || log.destroyed) resolve();
  else log.once("close", resolve).end();
  return promise;
}

async function openLog(file: string) {
  await mkdir(dirname(file), { recursive: true });
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LARGEST_LOG_BYTES) await rename(file, `${file}.1`);
  const log = createWriteStream(file, { flags: "a", mode: 0o600 });
  log.on("error", () => {});
  return log;
}
