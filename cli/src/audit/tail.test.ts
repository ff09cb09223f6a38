import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort, spawnService, startPostgres, type Part } from "@sluice/launcher";
import { StoredTrail } from "@sluice/testing";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

const repository = join(import.meta.dirname, "../../..");
const sluice = [join(repository, "cli/dist/main.js"), "audit", "tail"];
const { DATABASE_URL: _, ...env } = process.env;
const run = promisify(execFile);

let dir: string;
let postgres: Part;
let database: pg.Client;
let trail: StoredTrail;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-tail-"));
  postgres = await startPostgres({ dataDir: join(dir, "postgres"), env: { ...env, DATABASE_URL: "" } });
  database = new pg.Client({ connectionString: postgres.url });
  await database.connect();
  trail = new StoredTrail(database);
  await trail.create();
  await writeFile(join(dir, "run.json"), JSON.stringify({ readerDatabaseUrl: postgres.url }), { mode: 0o600 });
  for (let number = 1; number <= 22; number++) await intent(`c-${number}`, { minutesAgo: 100 - number });
  for (const number of [23, 24, 25]) await intent(`c-${number}`, { minutesAgo: 45 - number });
  await intent("c-other", { agent: "alchemy-1", tenant: "beta", target: "\u001b[2Jevil\nline\u202e", minutesAgo: 10 });
  await unknown("c-other");
  await outcome("c-25");
}, 120_000);

afterAll(async () => {
  await database?.end();
  await postgres?.stop();
  await rm(dir, { recursive: true, force: true });
});

interface IntentOptions {
  readonly agent?: string;
  readonly tenant?: string;
  readonly target?: string;
  readonly server?: string;
  readonly minutesAgo?: number;
}

const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000);

async function intent(
  call: string,
  { agent = "sentinel-1", tenant = "acme", target = "echo", server = "main", minutesAgo = 0 }: IntentOptions = {},
) {
  await trail.call(call, ago(minutesAgo), { agent, tenant, intent: { target, server }, outcome: null });
}

async function outcome(call: string, columns: Readonly<Record<string, unknown>> = {}) {
  const own = { log: "acme", event_id: `${call}.o`, call, at: new Date(), bytes: 20 };
  const said = { status: 200, decision: "allow", rule: "accessRules[0]", duration_ms: 12.34 };
  await trail.event("outcome", { ...own, ...said, ...columns });
}

/** What the audit service finds out of a call whose ingress is gone. */
async function unknown(call: string) {
  await trail.event("unknown", { log: "acme", event_id: `${call}.u`, call, at: new Date() });
}

async function tail(...args: string[]): Promise<string[]> {
  const { stdout } = await run(process.execPath, [...sluice, "--data", dir, ...args], { env });
  return stdout.split("\n").filter((line) => line !== "");
}

describe("sluice audit tail", () => {
  test("shows the last 20 calls, the newest last, one aligned line each", async () => {
    const [header, ...lines] = await tail();
    expect(header).toMatch(/^TIME +AGENT +METHOD +TARGET +CALL +MS +RESULT +RULE$/);
    expect(lines).toHaveLength(20);
    expect(lines.at(-1)).toMatch(/ c-other /);
    expect(lines.at(-2)).toMatch(/sentinel-1 +tools\/call +echo +c-25 +12\.3 +allow\/200 +accessRules\[0\]$/);
    expect(new Set(lines.slice(0, -1).map((line) => line.indexOf("c-")))).toEqual(new Set([header?.indexOf("CALL")]));
  });

  test("A34: a call whose outcome never came shows as outcome unknown", async () => {
    expect((await tail("--agent", "alchemy-1"))[1]).toContain("outcome unknown");
  });

  test("text of agents can't move the cursor, forge a line or turn its direction", async () => {
    const text = (await tail("--agent", "alchemy-1")).join("\n");
    expect(text).toContain("\\u{1b}[2Jevil\\u{a}line");
    expect(text).not.toMatch(/[\u001b\u202e]/);
  });

  test("--json prints one object per call with its numbers as numbers", async () => {
    const calls = (await tail("--json", "--limit", "2")).map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(calls).toHaveLength(2);
    expect(calls[0]).toMatchObject({ call: "c-25", state: "done", duration_ms: 12.34 });
    expect(calls[0]).toMatchObject({ request_bytes: 10, response_bytes: 20 });
  });

  test("a call at the address of all servers shows whose the target is", async () => {
    await intent("merged-1", { tenant: "merged", server: "*", target: "add", minutesAgo: 203 });
    await intent("merged-2", { tenant: "merged", server: "*", target: "add", minutesAgo: 202 });
    await intent("merged-3", { tenant: "merged", minutesAgo: 200 });
    for (const call of ["merged-2", "merged-3"]) await outcome(call);
    await outcome("merged-1", { upstream: "calculator" });
    const lines = (await tail("--tenant", "merged")).slice(1);
    const targets = lines.map((line) => /tools\/call +(\S+ +\S+)/.exec(line)?.[1]?.replace(/ +/, " "));
    expect(targets).toEqual(["calculator/add merged-1", "add merged-2", "echo merged-3"]);
    const calls = (await tail("--tenant", "merged", "--json")).map((line) => JSON.parse(line) as { upstream: unknown });
    expect(calls.map(({ upstream }) => upstream)).toEqual(["calculator", null, "main"]);
  });

  test("a call by A2A shows its version and operation, its agent and task, and the task's state, none of them cut", async () => {
    const task = "0b7f4c9e-3f0e-4a6e-9d35-1c6a0a1f7c11";
    const a2a = {
      label: "a2a_proxy",
      protocol: "a2a",
      path: "/a2a/planner",
      a2a_version: "0.3",
      a2a_binding: "JSONRPC",
    };
    await trail.call("a2a-1", ago(180), {
      tenant: "tasks",
      intent: {
        ...a2a,
        method: "DeleteTaskPushNotificationConfig",
        target: null,
        server: "planner",
        message_kind: "text",
      },
      outcome: { rule: "default", duration_ms: 12.34, task, task_state: "TASK_STATE_INPUT_REQUIRED" },
    });
    const [, line] = await tail("--tenant", "tasks");
    expect(line).toMatch(
      new RegExp(
        ` 0\\.3 DeleteTaskPushNotificationConfig {2}planner/${task} {2}a2a-1 +12\\.3 +allow/200 input_required +default$`,
      ),
    );
    expect(JSON.parse((await tail("--tenant", "tasks", "--json"))[0] ?? "")).toMatchObject({
      a2a_version: "0.3",
      a2a_binding: "JSONRPC",
      messageKind: "text",
      taskState: "TASK_STATE_INPUT_REQUIRED",
      task,
    });
  });

  test("--tenant and --since choose", async () => {
    expect(await tail("--json", "--tenant", "beta")).toHaveLength(1);
    expect(await tail("--json", "--since", "50m")).toHaveLength(4);
    expect(await tail("--json", "--since", new Date(Date.now() + 60_000).toISOString())).toHaveLength(0);
  });

  test("--follow prints a call once, when it ends", async () => {
    const lines: string[] = [];
    const following = await spawnService({
      name: "tail",
      command: process.execPath,
      args: [...sluice, "--data", dir, "--json", "--follow", "--limit", "1"],
      env,
      onLine: (line) => lines.push((JSON.parse(line) as { call: string }).call),
    });
    try {
      await vi.waitFor(() => expect(lines).toEqual(["c-other"]), 10_000);
      await intent("f-1");
      await outcome("f-1");
      await intent("f-2");
      await intent("f-3");
      await outcome("f-3");
      await vi.waitFor(() => expect(lines).toEqual(["c-other", "f-1", "f-3"]), 10_000);
      await outcome("f-2");
      await vi.waitFor(() => expect(lines).toEqual(["c-other", "f-1", "f-3", "f-2"]), 10_000);
    } finally {
      await following.stop();
    }
  });

  test("--follow says that Sluice has stopped, and no more", async () => {
    const lines: string[] = [];
    const following = await spawnService({
      name: "tail",
      command: process.execPath,
      args: [...sluice, "--data", dir, "--follow", "--limit", "0"],
      env,
      onLine: (line) => lines.push(line),
    });
    await vi.waitFor(() => expect(lines).toHaveLength(1), 10_000);
    await database.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sluice-cli'",
    );
    expect(await following.exit).toEqual({ code: 1, signal: null });
    expect(lines.slice(1)).toEqual(["sluice: Sluice has stopped"]);
  });

  test.each([
    [["--data", "/nowhere"], /no running Sluice found in \/nowhere.*npm start.*DATABASE_URL/s],
    [["--since", "yesterday"], /such as 15m/],
    [["--limit", "-1"], /whole number/],
  ])("%j is refused with what to do", async (args, expected) => {
    await expect(tail(...args)).rejects.toMatchObject({ stderr: expect.stringMatching(expected) });
  });

  test("only a wrong option is answered with where the usage stands", async () => {
    await expect(tail("--data", "/nowhere")).rejects.toMatchObject({ stderr: expect.not.stringContaining("--help") });
    await expect(tail("--limt", "1")).rejects.toMatchObject({ stderr: expect.stringContaining("(see --help)") });
  });

  test("a database that does not answer is told without its password", async () => {
    const url = `postgres://sluice:the-password@127.0.0.1:${await freePort()}/sluice`;
    const failed = run(process.execPath, sluice, { env: { ...env, DATABASE_URL: url } });
    await expect(failed).rejects.toMatchObject({
      stderr: expect.stringMatching(/^(?!.*the-password).*does not answer.*npm start/s),
    });
  });

  test("result and rule are shown whole, whatever their length", async () => {
    const rule = `accessRules[${"1".repeat(60)}]`;
    await intent("l-1", { tenant: "long" });
    await outcome("l-1", { rule, fault: "a_fault_with_quite_a_long_name_indeed" });
    expect((await tail("--tenant", "long"))[1]).toMatch(
      new RegExp(`allow/200 a_fault_with_quite_a_long_name_indeed +${rule.replaceAll(/[[\]]/g, "\\$&")}$`),
    );
  });

  test("A34: a call without an outcome is under way until it is on record that there will be none", async () => {
    await intent("alive-1", { tenant: "running", minutesAgo: 20 });
    await intent("dead-1", { tenant: "running", minutesAgo: 0 });
    await unknown("dead-1");
    const calls = (await tail("--tenant", "running", "--json")).map((line) => JSON.parse(line));
    expect(calls).toMatchObject([
      { call: "alive-1", state: "under way" },
      { call: "dead-1", state: "outcome unknown" },
    ]);
  });
});
