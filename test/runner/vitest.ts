import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isatty } from "node:tty";
import type { Report } from "./tally.ts";

const KILL_AFTER_MS = 20_000;
/** Workers and the processes that tests start load the same modules again and again. */
const COMPILED = join(import.meta.dirname, "../../.sluice/parts/compiled");

export interface Run {
  /** Why vitest ended badly, if it did. */
  complaint?: string;
  /** Absent where vitest ended before it wrote one. */
  report?: Report;
}

/** Runs vitest under this Node with the arguments given, to its end or to the deadline, and reads its JSON report. */
export async function runVitest(args: string[], deadlineMs: number): Promise<Run> {
  const dir = await mkdtemp(join(tmpdir(), "sluice-test-"));
  try {
    const file = join(dir, "report.json");
    const complaint = await vitest(
      ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...args],
      deadlineMs,
    );
    const written = await readFile(file, "utf8").catch(() => undefined);
    return {
      ...(complaint !== undefined && { complaint }),
      ...(written !== undefined && { report: JSON.parse(written) as Report }),
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function vitest(args: string[], deadlineMs: number): Promise<string | undefined> {
  const program = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { NODE_COMPILE_CACHE: COMPILED, ...process.env },
  });
  // A terminal sends its interrupt to vitest too; twice would make vitest leave without cleaning up.
  const inTerminal = [0, 1, 2].some((fd) => isatty(fd));
  process.on("SIGINT", () => inTerminal || child.kill("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  let late = false;
  const deadline = setTimeout(() => {
    late = true;
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS).unref();
  }, deadlineMs);
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  child.once("error", reject);
  child.once("exit", (code, signal) => {
    if (late) resolve(`vitest was stopped: the tests took more than ${deadlineMs / 60_000} minutes`);
    else resolve(code === 0 ? undefined : `vitest ended with ${signal ?? `exit code ${code}`}`);
  });
  return promise.finally(() => clearTimeout(deadline));
}
