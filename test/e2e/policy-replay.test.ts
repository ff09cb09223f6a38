import { execFile } from "node:child_process";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FakeUpstream, startTestHouse, until, type TestHouse, type TestTenant } from "@sluice/testing";
import { parse, stringify } from "yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rpcBody, sendBody, speaking } from "./a2a.ts";
import { as, send, toolCall } from "./http.ts";

const cli = join(import.meta.dirname, "../../cli/bin/sluice.mjs");
const stack = new AsyncDisposableStack();
let house: TestHouse;
let upstream: FakeUpstream;
/** The changed configuration, which is not in force at first. */
let changed: string;

const rulesThen = [
  { agentPattern: "desk-*", allowedTools: ["read", "write", "search"], deniedTools: ["purge"] },
  { agentPattern: "lab-*", when: "args.path.startsWith('/tmp/')", allowedTools: ["write"] },
  { agentPattern: "lab-*", deniedPrompts: ["hello"] },
];
const rulesNow = [
  { agentPattern: "desk-*", allowedTools: ["read", "search", "purge"], deniedResources: ["file:///etc/*"] },
  { agentPattern: "desk-2", when: "agent.owner == 'tests'", deniedTools: ["search"] },
  { agentPattern: "lab-*", when: "args.path.startsWith('/tmp/')", allowedTools: ["write"] },
  { agentPattern: "*", deniedAgents: ["coder"] },
  { agentPattern: "desk-1", mode: "shadow", deniedTools: ["read"] },
];
const tenant = (): TestTenant => ({
  agents: ["desk-1", "desk-2", "lab-1"],
  mcp: { endpoints: ["files", "web"].map((name) => ({ name, url: upstream.url, listCacheSeconds: 0 })) },
  a2a: { endpoints: ["planner", "coder"].map((name) => ({ name, url: upstream.url, version: "0.3" })) },
  limits: [{ path: "/mcp/tools/call", tool: "search", maxRequests: 0, windowSeconds: 60, agentPattern: "desk-2" }],
  accessRules: rulesThen,
});

const calls: readonly {
  readonly agent: string;
  readonly path: string;
  readonly body: string;
  readonly said: string;
}[] = [
  ...["read", "write", "search", "purge", "other"].flatMap((tool) =>
    ["desk-1", "desk-2"].map((agent) => ({
      agent,
      path: "/mcp/files",
      body: toolCall(tool),
      said: `${agent} ${tool}`,
    })),
  ),
  ...["/tmp/x", "/etc/x"].map((path) => ({
    ...{ agent: "lab-1", path: "/mcp/web", body: toolCall("write", { path }), said: "lab-1 write" },
  })),
  { agent: "desk-1", path: "/mcp", body: toolCall("web_write"), said: "desk-1 write" },
  {
    agent: "desk-1",
    path: "/mcp/files",
    body: rpcBody("resources/read", { uri: "file:///etc/x" }),
    said: "desk-1 file:///etc/x",
  },
  { agent: "lab-1", path: "/mcp/files", body: rpcBody("prompts/get", { name: "hello" }), said: "lab-1 hello" },
  { agent: "lab-1", path: "/mcp/files", body: rpcBody("tools/list", {}), said: "lab-1 list" },
  { agent: "lab-1", path: "/a2a/coder", body: sendBody("0.3", "x"), said: "lab-1 coder" },
  { agent: "lab-1", path: "/a2a/planner", body: sendBody("0.3", "x"), said: "lab-1 planner" },
];

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(await startTestHouse({ tenants: { acme: tenant() } }));
  changed = join(house.dataDir, "changed.yaml");
  const conf = parse(await readFile(inForce(), "utf8")) as { tenants: { acme: TestTenant } };
  await writeFile(changed, stringify({ tenants: { acme: { ...conf.tenants.acme, accessRules: rulesNow } } }));
});
afterAll(() => stack.disposeAsync());

const inForce = () => join(house.confDir, "tenants.yaml");

/** Of each call the HTTP status. */
async function makeCalls(): Promise<number[]> {
  const statuses: number[] = [];
  for (const { agent, path, body } of calls) {
    const key = house.key(agent);
    const headers = path.startsWith("/a2a") ? speaking(key) : as(key);
    statuses.push((await send(`${house.house.url}${path}`, { headers, body })).status);
  }
  return statuses;
}

async function stored(count: number): Promise<void> {
  await until("all is stored", async () => {
    const [row] = await house.query<{ n: number }>("select count(*)::int as n from audit_calls where state = 'done'");
    return row?.n === count;
  });
}

async function replay(...flags: string[]): Promise<{ code: number; out: string; err: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; out: string; err: string }>();
  const env = { ...process.env, DATABASE_URL: house.house.parts.postgres.url };
  const args = [cli, "policy", "replay", "--conf", changed, ...flags];
  execFile(process.execPath, args, { env }, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  );
  return promise;
}

interface Told extends Readonly<Record<string, unknown>> {
  readonly changed: readonly { readonly becomes: string; readonly agent: string; readonly target: string }[];
}

const toldBy = async (...flags: string[]) => JSON.parse((await replay("--json", ...flags)).out) as Told;

/** Puts the changed file into force as it is. */
async function takeOver(): Promise<void> {
  const versions = () =>
    Promise.all(
      [...house.house.of("policy"), ...house.house.of("ingress")].map(async ({ health }) => {
        const told = (await (await fetch(`${health}/health`)).json()) as Record<string, number>;
        return told["rules_version"] ?? told["tenants_version"] ?? 0;
      }),
    );
  const before = await versions();
  await copyFile(changed, inForce());
  await until("the edit to be in force", async () =>
    (await versions()).every((version, index) => version > (before[index] ?? 0)),
  );
}

describe("sluice policy replay", () => {
  it("B4: names exactly the calls that a changed file decides otherwise: in force it does, and finds nothing more to change", async () => {
    const before = await makeCalls();
    await stored(calls.length);
    const told = await toldBy();
    expect(told).toMatchObject({
      calls: calls.length,
      otherwise: told.changed.length,
      untold: {
        calls: 2,
        groups: [{ because: "arguments are not on record", rules: ["accessRules[2].allowedTools[0]"] }],
      },
      uncompared: { calls: 1, reasons: [{ because: "agent_rate_limited", calls: 1 }] },
      shadow: { calls: 1, groups: [{ agent: "desk-1", target: "read", now: "accessRules[4].deniedTools[0]" }] },
      lists: 1,
    });
    expect(await replay("--exit-code")).toMatchObject({ code: 3 });
    await takeOver();
    const after = await makeCalls();
    const becameOf = (status: number) => (status === 403 ? "deny" : "allow");
    const differing = calls.flatMap(({ said }, index) => {
      const then = before[index] ?? 0;
      const now = after[index] ?? 0;
      return then === 429 || becameOf(then) === becameOf(now) ? [] : [`${said} ${becameOf(now)}`];
    });
    const expected = told.changed.map(({ agent, target, becomes }) => `${agent} ${target} ${becomes}`);
    expect(new Set(differing)).toEqual(new Set(expected));
    expect(new Set(differing)).toEqual(
      new Set([
        ...["desk-1 write deny", "desk-2 write deny", "desk-1 purge allow", "desk-2 purge allow"],
        ...["desk-1 file:///etc/x deny", "lab-1 hello allow", "lab-1 coder deny"],
      ]),
    );
    await stored(2 * calls.length);
    const since = await house.query<{ at: Date }>("select at from audit_calls order by at offset $1 limit 1", [
      calls.length,
    ]);
    const again = ["--since", since[0]?.at.toISOString() ?? ""];
    expect(await toldBy(...again)).toMatchObject({ calls: calls.length, otherwise: 0, changed: [] });
    expect(await replay("--exit-code", ...again)).toMatchObject({ code: 4 });
    expect(await replay("--exit-code", "--agent", "desk-1", ...again)).toMatchObject({ code: 0 });
  });

  it("B4: shows it to people, with the place of the new rule, and refuses what sluice check refuses", async () => {
    const { code, out, err } = await replay("--agent", "lab-1", "--limit", "1");
    expect([code, err]).toEqual([0, expect.stringMatching(/^\d+ calls read$/m)]);
    expect(out).toMatch(/accessRules\[3\]\.deniedAgents\[0\] \(.*changed\.yaml:\d+:\d+\)/);
    expect(out).toMatch(/^\d+ calls replayed from .*, of \d+ it can't be told; 0 not compared$/m);
    await writeFile(changed, "tenants: { acme: { nope: 1 } }");
    const refused = await replay();
    expect(refused).toMatchObject({ code: 2, out: "" });
    expect(refused.err).toMatch(/changed\.yaml:1:\d+: tenants\.acme\.nope: unknown key/);
  });
});
