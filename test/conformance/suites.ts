import { spawn } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import type { FixtureName } from "./fixtures/fixture.ts";

/** The official suites, each pinned; every one speaks one era. */
const suites = {
  "0.1.16": { module: "conformance-0.1", args: ["--suite", "all"], era: "legacy" },
  "2025-11-25": { module: "conformance-0.2", args: ["--requirements", "2025-11-25"], era: "legacy" },
  "2026-07-28": { module: "conformance-0.2", args: ["--requirements", "2026-07-28"], era: "modern" },
} as const;

export type SuiteName = keyof typeof suites;
export const suiteNames = Object.keys(suites) as SuiteName[];
export const eraOfSuite = (suite: SuiteName): Exclude<FixtureName, "dual"> => suites[suite].era;

/** One verdict of a suite. */
export interface Check {
  readonly scenario: string;
  readonly id: string;
  readonly name: string;
  readonly status: "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED";
  readonly errorMessage?: string;
}

const deadlineMs = 240_000;
const clientTimeoutMs = "15000";
const resultDir = /^(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/;
const resolveModule = createRequire(import.meta.url).resolve;
const command = (suite: SuiteName) => resolveModule(`${suites[suite].module}/dist/index.js`);

/** Runs a whole suite against a server. What it says goes to `output.txt` in `dir`, beside its results. */
export async function runServerSuite(suite: SuiteName, url: string, dir: string): Promise<Check[]> {
  const output = await run([command(suite), "server", "--url", url, ...suites[suite].args, "-o", dir], { dir });
  return readChecks(dir, output);
}

export interface ClientRun {
  readonly suite: SuiteName;
  readonly scenario: string;
  /** What the suite runs; it appends its server's address. */
  readonly command: string;
  readonly dir: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Runs one scenario of the client's side: the suite is the server, and the command the client; its end is a check too. */
export async function runClientScenario(wanted: ClientRun): Promise<Check[]> {
  const { suite, scenario, dir, env } = wanted;
  const version = suite === "0.1.16" ? [] : ["--spec-version", suite];
  const what = ["--command", wanted.command, "--scenario", scenario, "--timeout", clientTimeoutMs];
  const args = [command(suite), "client", ...what, ...version, "-o", dir];
  const output = await run(args, { dir, env });
  const ended = /client (?:exited with code \d+|timed out)/i.exec(output)?.[0];
  const end: Check =
    ended === undefined
      ? { scenario, id: "client-end", name: "ClientEnd", status: "SUCCESS" }
      : { scenario, id: "client-end", name: "ClientEnd", status: "FAILURE", errorMessage: ended };
  return [...(await readChecks(dir, output)), end];
}

/** Scenarios that count; the others are run and compared all the same. */
export async function isScored(suite: SuiteName): Promise<(scenario: string) => boolean> {
  if (suite === "0.1.16") return () => true;
  const file = join(dirname(command(suite)), "..", "requirements", `${suite}.yaml`);
  const { not_scored: others } = parse(await readFile(file, "utf8")) as { not_scored: { scenario: string }[] };
  const names = new Set(others.map(({ scenario }) => scenario));
  return (scenario) => !names.has(scenario);
}

async function run(args: string[], { dir, env = {} }: { dir: string; env?: ClientRun["env"] }): Promise<string> {
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
    timeout: deadlineMs,
    killSignal: "SIGKILL",
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const ended = Promise.withResolvers<void>();
  child.once("error", ended.reject).once("close", () => ended.resolve());
  await ended.promise;
  const text = Buffer.concat(chunks).toString("utf8");
  await writeFile(join(dir, "output.txt"), text);
  if (child.signalCode !== null) throw new Error(`the suite was stopped (${child.signalCode}):\n${text.slice(-2_000)}`);
  return text;
}

/** INFO is the suite's log of what it did, with ids and times of that run: no verdict. */
async function readChecks(dir: string, output: string): Promise<Check[]> {
  const scenarios = (await readdir(dir)).flatMap((name) => {
    const scenario = resultDir.exec(name)?.[1];
    return scenario === undefined ? [] : [{ scenario, file: join(dir, name, "checks.json") }];
  });
  if (scenarios.length === 0) throw new Error(`the suite left no results:\n${output.slice(-2_000)}`);
  const checks = await Promise.all(
    scenarios.map(async ({ scenario, file }) => {
      const found = JSON.parse(await readFile(file, "utf8").catch(() => "[]")) as (Omit<Check, "status"> & {
        status: string;
      })[];
      return found.filter(({ status }) => status !== "INFO").map((check) => ({ ...check, scenario }) as Check);
    }),
  );
  return checks.flat();
}
