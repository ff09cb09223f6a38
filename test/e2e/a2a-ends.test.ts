import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import type { Replica } from "@sluice/launcher";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { caller, rpcBody, rpcOf, sendBody, taskOf, tenantWith } from "./a2a.ts";
import { send } from "./http.ts";
import { open } from "./wire.ts";

/** What A8 promises. */
const promisedMs = 5_000;
let agent: ReferenceAgent;
let house: TestHouse;
const v1 = { "a2a-version": "1.0" };

const acme = (agents = ["a-1", "gone-1"], more = {}) =>
  tenantWith({ one: { agent }, two: { agent } }, { agents, ...more });

beforeAll(async () => {
  agent = await startAgent("1.0");
  house = await startTestHouse({ replicas: { ingress: 2 }, tenants: { acme: acme() } });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  await agent?.[Symbol.asyncDispose]();
});
beforeEach(() => agent.ledger.clear());

const url = (path = "one", replica = 0) => `${house.house.of("ingress")[replica]?.url}/a2a/${path}`;
const waits = (count = 1) => until("the agent to be at it", () => agent.gates.waiting.length >= count);

/** A blocking send that does not come back before its gate opens. */
function blocking(agentId: string, path = "one") {
  return caller(url(path), house.key(agentId))(sendBody("1.0", "hang"), v1);
}

function openGates(): void {
  for (const task of agent.gates.waiting) agent.gates.release({ task });
}

describe("a blocking send", () => {
  it("A8: ends when its key is taken away, with the reason, and the agent goes on", async () => {
    const sent = blocking("gone-1");
    await waits();
    const since = performance.now();
    await house.configure({ acme: acme(["a-1"]) });
    const answer = await sent;
    expect(performance.now() - since).toBeLessThan(promisedMs);
    expect([answer.status, rpcOf(answer).error?.code]).toEqual([401, 1401]);
    expect(agent.gates.waiting).toHaveLength(1);
    expect(agent.ledger.exchanges.at(-1)?.isOpen).toBe(true);
    openGates();
    await until("the agent to be done", () => agent.ledger.exchanges.every(({ isOpen }) => !isOpen));
    await house.configure({ acme: acme() });
  });

  it("A8: ends when its agent is taken out of the configuration, and when A2A is switched off", async () => {
    const gone = blocking("a-1", "two");
    await waits();
    await house.configure({ acme: tenantWith({ one: { agent } }, { agents: ["a-1", "gone-1"] }) });
    expect(rpcOf(await gone).error).toMatchObject({ code: 1404, message: "this tenant has no such agent" });
    openGates();
    await house.configure({ acme: acme() });
    await until("the agent to be back", async () => {
      const answer = await caller(url("two"), house.key("a-1"))(rpcBody("GetTask", { id: "nobody" }), v1);
      return rpcOf(answer).error?.code === -32001;
    });
    const off = blocking("a-1");
    await waits();
    await house.configure({ acme: acme(undefined, { settings: { a2a_enabled: false } }) });
    expect(rpcOf(await off).error?.code).toBe(1403);
    openGates();
    await house.configure({ acme: acme() });
    await until("A2A to be on again", async () => {
      const answer = await caller(url(), house.key("a-1"))(rpcBody("GetTask", { id: "nobody" }), v1);
      return rpcOf(answer).error?.code === -32001;
    });
  });

  it("goes on at the agent when its client leaves, and the task is the client's", async () => {
    const key = house.key("a-1");
    const leaving = open({ url: url(), key, body: Buffer.from(sendBody("1.0", "long")), headers: v1 });
    leaving.on("error", () => {});
    await waits();
    leaving.destroy();
    const [task = ""] = agent.gates.waiting;
    const other = await caller(url("one", 1), key)(rpcBody("ListTasks", {}), v1);
    expect(other.status).toBe(200);
    openGates();
    const got = await until("the task to be done", async () => {
      const answer = await caller(url("one", 1), key)(rpcBody("GetTask", { id: task }), v1);
      return answer.text.includes("TASK_STATE_COMPLETED") ? answer : undefined;
    });
    expect(taskOf(got).id).toBe(task);
  });
});

it("a large answer passes byte for byte", async () => {
  const text = "x".repeat(3_000_000);
  const ask = caller(url(), house.key("a-1"));
  agent.ledger.rewriteAnswers((json) => json.replace(/}$/, `,"x-large":"${text}"}`));
  try {
    const answer = await ask(sendBody("1.0", "echo x"), v1);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(agent.ledger.exchanges.at(-1)?.answer.body.toString());
  } finally {
    agent.ledger.rewriteAnswers(undefined);
  }
});

it("A38: an ingress that stops finishes the calls under way", async () => {
  const replica = house.house.of("ingress")[0] as Replica;
  replica.endedOnPurpose = true;
  const sent = blocking("a-1");
  await waits();
  const stopped = replica.process.stop("SIGTERM", 25_000);
  const address = url();
  await until("ingress to take no more", () =>
    send(address, { method: "GET" }).then(
      () => false,
      () => true,
    ),
  );
  openGates();
  expect(rpcOf(await sent).result).toHaveProperty("task");
  expect(await stopped).toEqual({ code: 0, signal: null });
});
