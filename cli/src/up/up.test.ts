import { createHash, randomBytes } from "node:crypto";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@sluice/launcher";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const repository = join(import.meta.dirname, "../../..");
const sluice = join(repository, "cli/bin/sluice.mjs");
const patience = { timeout: 120_000, interval: 50 };
const deadlineMs = 240_000;
/** As an ordinary shell has it, whoever runs the tests. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_|^(NATS|REDIS|DATABASE)_URL$|^NODE_OPTIONS$/.test(name)),
);

interface RunFile {
  readonly pid: number;
  readonly natsUrl: string;
  readonly url: string;
  readonly services: readonly { name: string; number: number; pid: number; health: string; url?: string }[];
  readonly parts: readonly { pid: number }[];
}

let dir: string;
let data: string;
let scope: AsyncDisposableStack;

beforeEach(async () => {
  scope = new AsyncDisposableStack();
  dir = await mkdtemp(join(tmpdir(), "sluice-up-"));
  data = join(dir, "data");
  scope.defer(() => rm(dir, { recursive: true, force: true }));
});

afterEach(() => scope.disposeAsync());

/** Runs a program, and ends it with its group at the end of the test. */
function start(command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) {
  const child = spawn(command, args, {
    env: { ...env, ...more },
    cwd: repository,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += String(bytes)));
  const exit = once(child, "close").then(([code]) => code as number | null);
  scope.defer(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    await exit;
  });
  return { child, exit, output: () => output };
}

const up = (...args: string[]) => upWith({}, ...args);
const upWith = (more: NodeJS.ProcessEnv, ...args: string[]) =>
  start(process.execPath, [sluice, "up", "--data", data, ...args], more);
const read = async <Content>(file: string) => JSON.parse(await readFile(join(data, file), "utf8")) as Content;
const untilRunning = (child: ChildProcess, file = "run.json") =>
  vi.waitFor(async () => {
    if (child.exitCode !== null) throw new Error("it has ended");
    return read<RunFile>(file).then(() => read<RunFile>("run.json"));
  }, patience);

async function untilGone(pids: readonly number[]): Promise<void> {
  await vi.waitFor(async () => {
    const states = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")));
    expect(states.filter((stat) => stat !== "" && !/\) [ZX] /.test(stat))).toEqual([]);
  }, patience);
}

test(
  "a second start in the same place is told where the first one runs, and SIGTERM to npm's shell ends all of it",
  async () => {
    const port = await freePort();
    const line = `"${process.execPath}" scripts/bootstrap.mjs up --data "${data}" --port ${port}; exit $?`;
    const { child, output } = start("/bin/sh", ["-c", line], { npm_lifecycle_event: "start" });
    const run = await untilRunning(child, "demo.json");
    await vi.waitFor(() => expect(output()).toContain(`token: adminToken in ${join(data, "state.json")}`), patience);
    const conf = await readFile(join(data, "conf/tenants.yaml"), "utf8");

    const second = up("--port", String(port));
    expect(await second.exit).toBe(1);
    expect(second.output()).toContain(`a Sluice already runs here at http://127.0.0.1:${port} (pid ${run.pid})`);
    expect(await readFile(join(data, "conf/tenants.yaml"), "utf8")).toBe(conf);

    await servicesBeside(run);
    child.kill("SIGTERM");
    await untilGone([run.pid, ...[...run.services, ...run.parts].map(({ pid }) => pid)]);
  },
  deadlineMs,
);

/** A service of one's own on a local instance's bus, and what it says where that can't work. */
async function servicesBeside({ natsUrl, services }: RunFile): Promise<void> {
  const { natsPasswords } = await read<{ natsPasswords: Record<string, string> }>("state.json");
  const own = { NATS_URL: natsUrl, NATS_USER: "policy", NATS_PASSWORD: natsPasswords["policy"] };
  const taken = new URL(services[0]?.health ?? "").port;
  const clashing = start(process.execPath, [sluice, "policy"], { ...own, HEALTH_PORT: taken });
  expect(await clashing.exit).toBe(2);
  expect(clashing.output()).toContain(`port ${taken} is in use: set HEALTH_PORT`);
  expect(clashing.output()).not.toContain("EADDRINUSE");
  const beside = start(process.execPath, [sluice, "policy"], own);
  await vi.waitFor(() => expect(beside.output()).toContain('"msg":"ready"'), patience);
  const foreign = { ...own, NATS_PASSWORD: randomBytes(32).toString("hex") };
  const refused = start(process.execPath, [sluice, "policy"], foreign);
  const said = /"level":"error".*NATS refuses user policy: check NATS_USER and NATS_PASSWORD/;
  await vi.waitFor(() => expect(refused.output()).toMatch(said), patience);
  for (const { child } of [beside, refused]) child.kill("SIGTERM");
  await Promise.all([beside.exit, refused.exit]);
}

const key = `slk_${randomBytes(32).toString("base64url")}`;

async function confWith(url: string): Promise<string> {
  const hash = createHash("sha256").update(key).digest("hex");
  const conf = join(dir, "conf");
  await mkdir(conf);
  const tenants = `tenants:
  acme:
    agents: [{ id: a-1, apiKeys: ["sha256:${hash}"] }]
    accessRules: [{ agentPattern: a-1, allowedTools: ["*"] }]
    mcp: { endpoints: [{ name: main, era: legacy, url: "${url}" }] }
`;
  await writeFile(join(conf, "tenants.yaml"), tenants);
  return conf;
}

/** An upstream that takes calls and never answers. */
async function startSilence(): Promise<{ url: string; server: Server; called: Promise<unknown> }> {
  const server = createServer();
  const called = once(server, "request");
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scope.defer(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, server, called };
}

test(
  "with replicas one that dies is started anew; a stop says what it waits for, and Ctrl-C again ends the waiting",
  async () => {
    const { url, called } = await startSilence();
    const conf = await confWith(url);
    const { child, exit, output } = up("--conf", conf, "--port", String(await freePort()), "--replicas", "2");
    const run = await untilRunning(child);
    const ingresses = run.services.filter(({ name }) => name === "ingress");
    expect(ingresses.map(({ number }) => number)).toEqual([1, 2]);
    for (const { number, url: own } of ingresses) {
      await access(join(data, `logs/ingress-${number}.log`));
      await vi.waitFor(() => expect(output()).toContain(`${own}/mcp`), patience);
    }
    process.kill(run.services.find(({ name, number }) => name === "policy" && number === 2)?.pid ?? 0, "SIGKILL");
    await vi.waitFor(() => expect(output()).toContain("policy 2 is back"), patience);
    expect(output()).toMatch(/policy 2 ended \(SIGKILL\); see .*policy-2\.log; starting it anew/);

    const call = fetch(`${run.url}/mcp`, {
      method: "POST",
      headers: { "x-agent-api-key": key, "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "slow", arguments: {} } }),
    }).then(
      () => "answered",
      () => "broken off",
    );
    await called;
    child.kill("SIGINT");
    await vi.waitFor(() => expect(output()).toContain("waiting for 1 call; Ctrl-C again ends it now"), patience);
    child.kill("SIGINT");
    expect(await exit).toBe(0);
    expect(await call).toBe("broken off");
    await untilGone([...run.services, ...run.parts].map(({ pid }) => pid));
  },
  deadlineMs,
);

test("a mistake in the configuration is told before anything is started", async () => {
  const conf = await confWith("ftp://127.0.0.1/mcp");
  const { exit, output } = up("--conf", conf, "--port", String(await freePort()));
  expect(await exit).toBe(1);
  expect(output()).toMatch(/tenants\.yaml:5:\d+: tenants\.acme\.mcp\.endpoints\.0\.url: must be an http/);
  await expect(access(join(data, "nats"))).rejects.toThrow("ENOENT");
});

/** What commands say of a token that opens nothing, and of a version that is not there. */
async function adminAnswers(): Promise<void> {
  const ask = (more: NodeJS.ProcessEnv, ...args: string[]) =>
    start(process.execPath, [sluice, "conf", ...args, "--data", data], more);
  const refused = ask({ SLUICE_ADMIN_TOKEN: "x".repeat(32) }, "history");
  expect(await refused.exit).toBe(1);
  expect(refused.output()).toContain("SLUICE_ADMIN_TOKEN is not accepted by the admin API at http");
  const none = ask({}, "show", "999999");
  expect(await none.exit).toBe(1);
  expect(none.output()).toContain("version 999999 is not kept: sluice conf history lists those that are");
}

test(
  "a start takes the file at hand and not what the last run left; a file refused later is told on the terminal",
  async () => {
    const conf = await confWith("http://127.0.0.1:9/mcp");
    const file = join(conf, "tenants.yaml");
    const plain = await readFile(file, "utf8");
    const credentials = 'credentials: { type: header, headerName: X-Token, value: "${env:SLUICE_TEST_TOKEN}" }';
    const needing = plain.replace('/mcp" }', `/mcp", ${credentials} }`);
    const args = ["--conf", conf, "--port", String(await freePort())];

    await writeFile(file, needing);
    const first = upWith({ SLUICE_TEST_TOKEN: randomBytes(32).toString("hex") }, ...args);
    await untilRunning(first.child);
    first.child.kill("SIGTERM");
    expect(await first.exit).toBe(0);

    await writeFile(file, plain);
    const mended = up(...args);
    await untilRunning(mended.child);
    await adminAnswers();
    await writeFile(file, `${plain}more: 1\n`);
    await vi.waitFor(
      () => expect(mended.output()).toMatch(/warning: tenants\.yaml is refused.*\n.*more: unknown key/),
      patience,
    );
    await writeFile(file, needing);
    await vi.waitFor(() => expect(mended.output()).toMatch(/warning: egress: .*SLUICE_TEST_TOKEN/), patience);
    mended.child.kill("SIGTERM");
    expect(await mended.exit).toBe(0);

    const missing = up(...args);
    expect(await missing.exit).toBe(1);
    expect(missing.output()).toMatch(/egress could not start .*SLUICE_TEST_TOKEN/);
  },
  deadlineMs,
);
