import { randomUUID } from "node:crypto";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentVersions, startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { clientDialects, connectClient } from "../conformance-a2a/clients/clients.ts";
import type { SeenTask } from "../conformance-a2a/clients/client.ts";
import { tenantWith } from "./a2a.ts";

const agents = new Map<string, ReferenceAgent>();
let house: TestHouse;
const nameOf = (version: string) => `v${version.replace(".", "-")}`;

beforeAll(async () => {
  for (const version of agentVersions) agents.set(version, await startAgent(version));
  const behind = Object.fromEntries([...agents].map(([version, agent]) => [nameOf(version), { agent }]));
  house = await startTestHouse({ replicas: { ingress: 2, egress: 2 }, tenants: { acme: tenantWith(behind) } });
});
afterAll(async () => {
  await house?.[Symbol.asyncDispose]();
  for (const agent of agents.values()) await agent[Symbol.asyncDispose]();
});

const say = (text: string, more = {}) => ({ pieces: [{ text }], ...more });

describe.each(clientDialects)("a client of $version by $binding", (dialect) => {
  it.each(agentVersions)(
    "sends to an agent of %s, goes on with the task, gets it, and hears what went wrong",
    async (version) => {
      const agent = agents.get(version) as ReferenceAgent;
      const hits = agent.ledger.hits;
      const client = await connectClient(dialect, {
        baseUrl: `${house.house.url}/a2a/${nameOf(version)}`,
        headers: { "x-agent-api-key": house.key("a-1") },
      });
      const done = (await client.send(say("echo hello ä😀"))) as SeenTask;
      expect(done).toMatchObject({ is: "task", state: "completed" });
      expect(done.artifacts.map(({ pieces }) => pieces)).toEqual([[{ text: "hello ä😀" }]]);
      const asked = (await client.send(say("input"))) as SeenTask;
      expect(asked).toMatchObject({ state: "input-required", text: "which one?" });
      const { task, context } = asked;
      const answered = (await client.send(say("the first", { task, context }))) as SeenTask;
      expect(answered).toMatchObject({ task, context, state: "completed" });
      expect(await client.get(task)).toMatchObject({ task, context, state: "completed" });
      await expect(client.cancel(task)).rejects.toMatchObject({ code: -32_002 });
      await expect(client.get(randomUUID())).rejects.toMatchObject({ code: -32_001 });
      const subscription = client.subscribe(randomUUID())[Symbol.asyncIterator]();
      const lost: unknown = await subscription.next().catch((error: unknown) => error);
      expect(lost).toMatchObject({ code: -32_001 });
      expect(String((lost as Error).cause)).not.toContain("Content-Type");
      expect(agent.ledger.hits).toBe(hits + 5);
    },
  );
});
