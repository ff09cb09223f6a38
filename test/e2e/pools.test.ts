import { encodeHeadAndBody, subjects } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectAs } from "./bus-spy.ts";
import { as, send, toolCall } from "./http.ts";

const stack = new AsyncDisposableStack();
let upstream: FakeUpstream;
let house: TestHouse;

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
      egressPools: ["mcp", "a2a"],
    }),
  );
});
afterAll(() => stack.disposeAsync());

const call = () => send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall("echo") });
/** Calls that an egress replica answered itself or carried out. */
const taken = async (number: number) => {
  const replica = house.house.of("egress").find((one) => one.number === number);
  const text = await (await fetch(`${replica?.health}/metrics`)).text();
  const counts = [...text.matchAll(/^sluice_upstream_calls_total\{[^}]*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
};

it("P10: calls of each protocol go to its own pool of egress replicas alone, and one pool's end is not the other's", async () => {
  for (let index = 0; index < 5; index++) expect((await call()).status).toBe(200);
  expect([await taken(1), await taken(2)]).toEqual([5, 0]);

  const nats = await connectAs(house, "ingress");
  stack.defer(() => nats.close());
  const head = { call: "none-1", tenant: "acme", agent: { id: "a-1" }, server: "main", http: "POST", headers: {} };
  nats.publish(subjects.call("a2a"), encodeHeadAndBody({ ...head, notAfter: 0 }, Buffer.alloc(0)), {
    reply: `${subjects.inbox("ingress", "i000000000000")}.1`,
  });
  await until("the a2a replica to take it", async () => (await taken(2)) === 1);
  expect(await taken(1)).toBe(5);

  const [mcp] = house.house.of("egress");
  if (mcp === undefined) throw new Error("no egress replica");
  mcp.endedOnPurpose = true;
  await mcp.process.stop();
  const refused = await call();
  expect([refused.status, JSON.parse(refused.text).error.data.error]).toEqual([503, "unavailable"]);
  await house.house.add("egress");
  expect((await call()).status).toBe(200);
});
