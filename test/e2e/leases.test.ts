import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

const limit = 1_000;
let house: TestHouse;
let upstream: FakeUpstream;
const stack = new AsyncDisposableStack();
const tenants = (allowedTools: string[]) => ({
  acme: {
    agents: ["a-1", "a-2"],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools }],
    limits: [
      { path: "/mcp/tools/call", tool: "counted", maxRequests: limit, windowSeconds: 600 },
      { path: "/mcp/tools/call", tool: "few", maxRequests: 5, windowSeconds: 600 },
    ],
  },
});
const allTools = ["free", "counted", "few", "withdrawn"];

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(await startTestHouse({ tenants: tenants(allTools), replicas: { ingress: 2, "rate-limit": 2 } }));
});
afterAll(() => stack.disposeAsync());

const call = async (tool: string, { agent = "a-1", replica = 0 } = {}) => {
  const url = `${house.house.of("ingress")[replica]?.url}/mcp`;
  return (await send(url, { headers: as(house.key(agent)), body: toolCall(tool) })).status;
};

/** Calls that the replicas of a service decided. */
async function decided(service: "policy" | "rate-limit"): Promise<number> {
  const name = `sluice_${service.replace("-", "_")}_decisions_total`;
  const texts = await Promise.all(
    house.house.of(service).map(async ({ health }) => (await fetch(`${health}/metrics`)).text()),
  );
  const counts = texts.flatMap((text) => [...text.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)$`, "gm"))]);
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

describe("what was decided a moment ago", () => {
  it("is not asked about again; each call is in the audit trail all the same, with the rule that decided", async () => {
    const before = { policy: await decided("policy"), limit: await decided("rate-limit") };
    const calls = 100;
    for (let index = 0; index < calls; index++) expect(await call("free")).toBe(200);
    expect((await decided("policy")) - before.policy).toBeLessThan(calls / 2);
    expect((await decided("rate-limit")) - before.limit).toBeLessThan(calls / 2);
    await until("all rows", async () => {
      const rows = await house.query<{ rule: string; policy_version: string }>(
        "select rule, policy_version from audit_calls where target = 'free' and state = 'done' and decision = 'allow'",
      );
      expect(new Set(rows.map((row) => `${row.rule} ${row.policy_version}`)).size).toBeLessThanOrEqual(1);
      return rows.length === calls;
    });
  });

  it("says nothing of another agent, tool or refusal", async () => {
    expect(await call("free")).toBe(200);
    const before = await decided("policy");
    expect(await call("free", { agent: "a-2" })).toBe(200);
    for (let index = 0; index < 3; index++) expect(await call("forbidden")).toBe(403);
    expect((await decided("policy")) - before).toBe(4);
  });

  it("counts no more from the moment on that the configuration changed", async () => {
    const versions = async () => {
      const replicas = [...house.house.of("ingress"), ...house.house.of("policy")];
      return Promise.all(
        replicas.map(async ({ health }) => {
          const said = (await (await fetch(`${health}/health`)).json()) as Record<string, number>;
          return said["tenants_version"] ?? said["rules_version"] ?? 0;
        }),
      );
    };
    const old = Math.max(...(await versions()));
    expect(await call("withdrawn")).toBe(200);
    await house.configure(tenants(allTools.filter((tool) => tool !== "withdrawn")));
    await until("the new version everywhere, with calls all the while", async () => {
      await Promise.all([call("withdrawn"), call("withdrawn", { replica: 1 })]);
      return (await versions()).every((version) => version > old);
    });
    expect(await call("withdrawn")).toBe(403);
    expect(await call("withdrawn", { replica: 1 })).toBe(403);
  });
});

describe("limits", () => {
  it("are exact with calls counted ahead in several replicas; what was not used is given back (A28)", async () => {
    const before = await decided("rate-limit");
    let passed = 0;
    let sent = 0;
    const worker = async (replica: number) => {
      while (sent++ < limit * 1.2) if ((await call("counted", { replica })) === 200) passed++;
    };
    await Promise.all(Array.from({ length: 16 }, (_, index) => worker(index % 2)));
    expect(passed).toBeLessThanOrEqual(limit);
    expect((await decided("rate-limit")) - before).toBeLessThan(limit);
    await until("calls that were given back pass", async () => {
      if ((await call("counted")) === 200) passed++;
      return passed >= limit;
    });
    expect(passed).toBe(limit);
    expect(await call("counted")).toBe(429);
    expect(await call("counted", { replica: 1 })).toBe(429);
  });

  it("that are small are counted call by call", async () => {
    const statuses: number[] = [];
    for (let index = 0; index < 8; index++) statuses.push(await call("few", { replica: index % 2 }));
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
  });
});
