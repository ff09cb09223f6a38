import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LaunchError } from "./part.ts";

const TAKEN_CODE = 75;

/**
 * Makes this process the only one that works in a data directory, until it ends or disposes of the lock. The kernel
 * drops the lock with the process that holds it, so nothing that a kill -9 leaves behind blocks the next start.
 * @throws LaunchError that names who has it.
 */
export async function lockDataDir(dataDir: string): Promise<AsyncDisposable> {
  await mkdir(dataDir, { recursive: true });
  const file = join(dataDir, "sluice.lock");
  const flock = ["--nonblock", "--conflict-exit-code", `${TAKEN_CODE}`, "--no-fork", file];
  const holder = spawn("flock", [...flock, "sh", "-c", "echo held; exec cat"], {
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
    cwd: "/",
  });
  const ended = once(holder, "exit");
  holder.stdin.on("error", () => {});
  const outcome = await Promise.race([once(holder.stdout, "data").then(() => "held" as const), ended]);
  if (outcome !== "held") throw await refusal(dataDir, outcome[0] as number | null);
  await writeFile(file, String(process.pid));
  await rm(join(dataDir, "run.json"), { force: true });
  return {
    [Symbol.asyncDispose]: async () => {
      holder.stdin.end();
      await ended;
    },
  };
}

async function refusal(dataDir: string, code: number | null): Promise<LaunchError> {
  if (code !== TAKEN_CODE) return new LaunchError(`${dataDir} can't be locked: flock ended with exit code ${code}`);
  const pid = Number(await readFile(join(dataDir, "sluice.lock"), "utf8").catch(() => ""));
  const { url, pid: runs } = await readRun(dataDir);
  const where = url !== undefined && runs === pid ? `at ${url}` : `in ${dataDir} (it is starting or stopping)`;
  return new LaunchError(
    `a Sluice already runs here ${where} (pid ${pid || "unknown"}): stop it, or start another one with its own --data and --port`,
  );
}

async function readRun(dataDir: string): Promise<{ url?: string; pid?: number }> {
  try {
    return JSON.parse(await readFile(join(dataDir, "run.json"), "utf8")) as { url?: string; pid?: number };
  } catch {
    return {};
  }
}
