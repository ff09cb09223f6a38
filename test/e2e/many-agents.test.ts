import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let upstream: FakeUpstream;
const agents = Array.from({ length: 10_000 }, (_, number) => `agent-${number}`);
const tenants = (more: object) => ({
  acme: {
    agents,
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [
      ...Array.from({ length: 999 }, (_, number) => ({
        agentPattern: `agent-${number}`,
        allowedTools: [`own-${number}`, `shared-${number % 10}-*`],
        deniedTools: [`shared-${number % 10}-secret`],
      })),
      { agentPattern: "*", allowedTools: ["common"], ...more },
    ],
  },
});

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(await startTestHouse({ tenants: tenants({}) }));
});
afterAll(() => stack.disposeAsync());

const call = async (agent: string, tool: string) =>
  (await send(`${house.house.url}/mcp`, { headers: as(house.key(agent)), body: toolCall(tool) })).status;

it("P5: 10,000 agents and 1,000 rules are decided one by one, and an edit is in force for all of them", async () => {
  for (const number of [0, 1, 998]) {
    expect(await call(`agent-${number}`, `own-${number}`)).toBe(200);
    expect(await call(`agent-${number}`, `own-${number + 1}`)).toBe(403);
    expect(await call(`agent-${number}`, `shared-${number % 10}-x`)).toBe(200);
    expect(await call(`agent-${number}`, `shared-${number % 10}-secret`)).toBe(403);
  }
  for (const agent of ["agent-0", "agent-5000", "agent-9999"]) expect(await call(agent, "common")).toBe(200);
  await house.configure(tenants({ deniedTools: ["common"] }));
  await until("the edit is in force", async () => (await call("agent-9999", "common")) === 403);
  expect(await call("agent-0", "common")).toBe(403);
});
