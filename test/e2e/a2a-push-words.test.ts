import { startTestHouse, type FakeUpstream, type TestHouse } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { agentVersions, startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { Problem, type A2aClient, type Push, type Seen } from "../conformance-a2a/clients/client.ts";
import { clientDialects, connectClient } from "../conformance-a2a/clients/clients.ts";
import { heardBy, quickRetries, startWebhook, toldTo, urlOf } from "./a2a-push.ts";

const stack = new AsyncDisposableStack();
const agents = new Map<string, ReferenceAgent>();
let house: TestHouse;
let webhook: FakeUpstream;

beforeAll(async () => {
  for (const version of agentVersions) agents.set(version, stack.use(await startAgent(version)));
  const endpoints = [...agents].map(([version, { cardUrl }]) => ({ name: nameOf(version), card: cardUrl }));
  const acme = { agents: ["a-1"], a2a: { endpoints }, accessRules: [{ agentPattern: "*", allowedTools: ["*"] }] };
  house = stack.use(await startTestHouse({ tenants: { acme }, envOf: { egress: quickRetries } }));
});
afterAll(() => stack.disposeAsync());
beforeEach(async () => {
  webhook = await startWebhook();
});
afterEach(() => webhook[Symbol.asyncDispose]());

const nameOf = (version: string) => `v${version.replace(".", "")}`;
const agentOf = (version: string) => agents.get(version) as ReferenceAgent;
const cells = clientDialects.flatMap((dialect) => agentVersions.map((agent) => ({ ...dialect, agent })));
type Cell = (typeof cells)[number];

const connect = ({ agent, ...dialect }: Cell): Promise<A2aClient> =>
  connectClient(dialect, {
    baseUrl: `${house.house.url}/a2a/${nameOf(agent)}`,
    headers: { "x-agent-api-key": house.key("a-1") },
  });

/** What a notification says, whatever the revision. */
function read({ version }: Pick<Cell, "version">, body: Buffer): { task: unknown; state: unknown } {
  const told = JSON.parse(body.toString("utf8")) as Record<string, Record<string, unknown>>;
  if (version !== "1.0") return { task: told["id"], state: told["status"]?.["state"] };
  const { task, statusUpdate, artifactUpdate } = told;
  const status = (task ?? statusUpdate)?.["status"] as { state?: unknown } | undefined;
  return { task: task?.["id"] ?? (statusUpdate ?? artifactUpdate)?.["taskId"], state: status?.state };
}

const taskIn = (seen: Seen) => (seen.is === "task" ? seen.task : "");
const completed = ({ version }: Pick<Cell, "version">) => (version === "1.0" ? "TASK_STATE_COMPLETED" : "completed");

async function toldOf(cell: Cell, task: string): Promise<void> {
  const isOver = ({ body }: { body: Buffer }) => read(cell, body).state === completed(cell);
  for (let count = 1; !webhook.requests.some(isOver); count++) await toldTo(webhook, count);
  for (const { headers, body } of webhook.requests) {
    expect(read(cell, body).task).toBe(task);
    expect(headers["x-a2a-notification-token"]).toBe("cnry-token");
    expect(headers["authorization"]).toBe("Bearer cnry-credentials");
    expect(headers["content-type"]).toBe(cell.version === "1.0" ? "application/a2a+json" : "application/json");
  }
  expect(heardBy(agentOf(cell.agent))).not.toMatch(/cnry-/);
  expect(heardBy(agentOf(cell.agent))).not.toContain(`:${webhook.port}/`);
}

describe.each(cells)("a client of $version by $binding, told by an agent of $agent", (cell) => {
  const push = (): Push => ({
    url: urlOf(webhook),
    token: "cnry-token",
    authentication: { scheme: "Bearer", credentials: "cnry-credentials" },
  });

  it("is told what it has asked to be told with its message, in its own words", async () => {
    const client = await connect(cell);
    const seen = await client.send({ pieces: [{ text: "echo hi" }] }, { push: push() });
    expect(seen.is).toBe("task");
    await toldOf(cell, taskIn(seen));
  });

  it("registers, looks, and is told; deletes, and is told no more", async () => {
    const client = await connect(cell);
    const task = taskIn(await client.send({ pieces: [{ text: "input" }] }));
    const id = cell.version === "1.0" || cell.version === "0.3" ? "mine" : task;
    const set = await client.setPush(task, { ...push(), ...(id === "mine" && { id }) });
    expect(set.url).toBe(urlOf(webhook));
    const got = await client.getPush(task, id);
    expect(got.url).toBe(urlOf(webhook));
    expect(JSON.stringify([set, got])).not.toContain("cnry-");
    if (client.listPush !== undefined)
      expect((await client.listPush(task)).map(({ url }) => url)).toEqual([urlOf(webhook)]);
    await client.send({ pieces: [{ text: "this one" }], task });
    await toldOf(cell, task);
    if (client.deletePush === undefined) return;
    await client.deletePush(task, id);
    await expect(client.getPush(task, id)).rejects.toThrow(Problem);
  });
});
