import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { serviceNames } from "@sluice/contracts";
import { startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { connectClient } from "../conformance-a2a/clients/clients.ts";
import { collect, say, taskOf } from "../conformance-a2a/stage.ts";
import { startShim } from "../conformance/shim.ts";

const run = promisify(execFile);
const stack = new AsyncDisposableStack();
let agent: ReferenceAgent;
let house: TestHouse;
let origin: string;

beforeAll(async () => {
  agent = stack.use(await startAgent("1.0"));
  const ingress: string[] = [];
  let turn = 0;
  const next = (path: string) => new URL(path, ingress[turn++ % ingress.length]);
  ({ origin } = new URL(stack.use(await startShim({ next, headers: [] })).url));
  house = stack.use(
    await startTestHouse({
      tenants: { acme: { agents: ["a-1"], a2a: { endpoints: [{ name: "planner", card: agent.cardUrl }] } } },
      replicas: Object.fromEntries(serviceNames.map((service) => [service, 2])),
      egressPools: ["mcp", "a2a"],
      env: { PUBLIC_URL: origin },
    }),
  );
  ingress.push(...house.house.of("ingress").map(({ url = "" }) => url));
});
afterAll(() => stack.disposeAsync());

/** What the command line of the documents gives. */
async function curl(path: string, ...args: string[]): Promise<string> {
  const key = `x-agent-api-key: ${house.key("a-1")}`;
  const { stdout } = await run("curl", ["-sS", "-N", "--max-time", "20", "-H", key, ...args, `${origin}${path}`]);
  return stdout;
}
const post = (path: string, body: unknown) =>
  curl(path, "-H", "content-type: application/json", "-d", JSON.stringify(body));
const message = (text: string) => ({ role: "user", parts: [{ type: "text", text }] });

describe("P8: the tenant's agent behind two replicas of everything, whichever of them is met", () => {
  it("has seed 001's paths for a command line", async () => {
    const card = JSON.parse(await curl("/a2a/agent-card")) as { name: string; supportedInterfaces: { url: string }[] };
    expect(card.name).toBe("Reference 1.0");
    for (const { url } of card.supportedInterfaces) expect(url).toMatch(new RegExp(`^${origin}/a2a`));
    const sent = JSON.parse(await post("/a2a/tasks/send", { id: "mine", message: message("echo hello") })) as object;
    expect(sent).toMatchObject({ id: "mine", status: { state: "completed" }, artifacts: [{ index: 0 }] });
    expect(JSON.parse(await curl("/a2a/tasks/get?id=mine"))).toMatchObject({
      id: "mine",
      status: { state: "completed" },
    });
    const events = await post("/a2a/tasks/sendSubscribe", { id: "watched", message: message("echo again") });
    expect(events).toMatch(/"artifact"[^\n]*again/);
    const last = [...events.matchAll(/^data: (.*)$/gm)].at(-1)?.[1] ?? "";
    expect(JSON.parse(last)).toMatchObject({ result: { id: "watched", status: { state: "completed" }, final: true } });
    await post("/a2a/tasks/send", { id: "open", message: message("input") });
    expect(JSON.parse(await post("/a2a/tasks/cancel", { id: "open" }))).toMatchObject({
      status: { state: "canceled" },
    });
  });

  it.each([
    { version: "1.0", binding: "JSONRPC" },
    { version: "1.0", binding: "HTTP+JSON" },
    { version: "0.3", binding: "JSONRPC" },
    { version: "0.3", binding: "HTTP+JSON" },
  ] as const)("is spoken to by the official client of $version over $binding", async (dialect) => {
    const before = agent.ledger.hits;
    const headers = { "x-agent-api-key": house.key("a-1") };
    const client = await connectClient(dialect, { baseUrl: `${origin}/a2a/planner`, headers });
    const task = taskOf(await client.send(say("echo hello")));
    expect((await client.get(task)).state).toBe("completed");
    const seen = await collect(client.stream(say("echo again")));
    expect(seen.at(-1)).toMatchObject({ is: "status", state: "completed" });
    expect((await client.extendedCard?.())?.urls.every((url) => url.startsWith(`${origin}/a2a`))).toBe(true);
    expect(agent.ledger.hits - before).toBeGreaterThanOrEqual(4);
    expect(client.tape.takes.every(({ url }) => url.startsWith(`${origin}/a2a`))).toBe(true);
  });
});
