import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type AgentVersion, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { caller, rpcBody, rpcOf, sendBody, speaking, taskOf, tenantWith } from "./a2a.ts";
import { send } from "./http.ts";

const versions = ["1.0", "0.3", "0.1"] as const satisfies AgentVersion[];
const nameOf = { "1.0": "one", "0.3": "three", "0.1": "first" } as const;
const agents = {} as Record<(typeof versions)[number], ReferenceAgent>;
let house: TestHouse;

const at = (path: string) => `${house.house.url}/a2a/${path}`;

beforeAll(async () => {
  for (const version of versions) agents[version] = await startAgent(version);
  house = await startTestHouse({
    tenants: {
      acme: tenantWith({
        one: { agent: agents["1.0"] },
        three: { agent: agents["0.3"] },
        first: { agent: agents["0.1"] },
        "one-rest": { agent: agents["1.0"], binding: "HTTP+JSON" },
        "three-rest": { agent: agents["0.3"], binding: "HTTP+JSON" },
      }),
    },
  });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  for (const agent of Object.values(agents)) await agent[Symbol.asyncDispose]();
});

describe("a call in the agent's own revision", () => {
  it.each(versions)("by JSON-RPC of %s passes byte for byte, there and back", async (version) => {
    const ask = caller(at(nameOf[version]), house.key("a-1"));
    const headers = { "a2a-version": version };
    const body = sendBody(version, "echo ä€😀", { "x-unknown": 1.5 }, "an id");
    const sent = await ask(body, headers);
    const exchange = () => agents[version].ledger.exchanges.at(-1);
    expect(sent.status).toBe(200);
    expect(exchange()?.body.toString()).toBe(body);
    expect(sent.text).toBe(exchange()?.answer.body.toString());
    const { id } = taskOf(sent);
    const [get, cancel] = version === "1.0" ? ["GetTask", "CancelTask"] : ["tasks/get", "tasks/cancel"];
    for (const method of [get, cancel]) {
      const answer = await ask(rpcBody(method as string, { id }), headers);
      expect(answer.status, method).toBe(200);
      expect(answer.text, method).toBe(exchange()?.answer.body.toString());
    }
  });
});
