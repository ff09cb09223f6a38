import { randomUUID } from "node:crypto";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sendBody, speaking } from "./a2a.ts";
import { as, send, toolCall } from "./http.ts";

const callers = ["a-1", "a-2", "a-3", "a-4"];
const callsEach = 400;
const stack = new AsyncDisposableStack();
let server: FakeUpstream;
let quick: FakeUpstream;
let hanging: FakeUpstream;
let house: TestHouse;

const newTask = () => ({ id: randomUUID(), contextId: randomUUID(), status: { state: "TASK_STATE_COMPLETED" } });

beforeAll(async () => {
  server = stack.use(await FakeUpstream.start());
  quick = stack.use(
    await FakeUpstream.start(
      ({ message }, response) =>
        void response
          .setHeader("content-type", "application/json")
          .end(JSON.stringify({ jsonrpc: "2.0", id: message?.id, result: { task: newTask() } })),
    ),
  );
  hanging = stack.use(await FakeUpstream.start(() => {}));
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: [...callers, "b-1"],
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
          mcp: { endpoints: [{ name: "main", url: server.url }] },
          a2a: {
            endpoints: [
              { name: "slow", url: hanging.url },
              { name: "quick", url: quick.url },
            ],
          },
        },
      },
      envOf: { egress: { EGRESS_MAX_IN_FLIGHT: "2000", EGRESS_CONNECTIONS_PER_UPSTREAM: "1024" } },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const toAgent = (name: string, caller: string) =>
  send(`${house.house.url}/a2a/${name}`, {
    headers: speaking(house.key(caller), { "a2a-version": "1.0" }),
    body: sendBody("1.0", "x"),
  });
const toServer = (caller: string) =>
  send(`${house.house.url}/mcp`, { headers: as(house.key(caller)), body: toolCall("echo") });

it("P10: an agent that hangs with more than a thousand calls slows neither other agents nor MCP, in one process and for the same callers too", async () => {
  const refused: number[] = [];
  const waiting = callers.flatMap((caller) =>
    Array.from({ length: callsEach }, () =>
      toAgent("slow", caller).then(
        ({ status }) => void refused.push(status),
        () => {},
      ),
    ),
  );
  // As many as have connections are at the agent, some wait for one, and the others are refused.
  await until("the agent to hang", () => hanging.requests.length === 1_024 && refused.length > 0);
  expect(refused.every((status) => status === 502 || status === 503)).toBe(true);
  const started = performance.now();
  for (const caller of [...callers, "b-1"]) {
    expect((await toServer(caller)).status).toBe(200);
    expect((await toAgent("quick", caller)).status).toBe(200);
  }
  expect(performance.now() - started).toBeLessThan(5_000);
  hanging.disconnectAll();
  await hanging[Symbol.asyncDispose]();
  await Promise.all(waiting);
});
