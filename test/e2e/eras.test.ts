import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFixture } from "../conformance/fixtures/fixture.ts";
import { startShim } from "../conformance/shim.ts";
import { legacyClient, modernClient } from "./official-clients.ts";
import { startOldSseServer, type OldSseServer } from "./old-sse-server.ts";
import { modernHeaders, send } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let old: OldSseServer;

beforeAll(async () => {
  old = stack.use(await startOldSseServer());
  const [legacy, modern] = [stack.use(await startFixture("legacy")), stack.use(await startFixture("modern"))];
  house = stack.use(
    await startTestHouse({
      replicas: { ingress: 2, egress: 2, "session-manager": 2 },
      tenants: {
        acme: {
          agents: ["admin-1", "admin-2"],
          mcp: {
            endpoints: [
              { name: "legacy", url: legacy.url },
              { name: "modern", url: modern.url },
              { name: "old", url: old.url },
            ],
          },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

/** Each request goes to another replica of ingress. */
async function balanced(server: string, agent = "admin-1"): Promise<string> {
  let turn = 0;
  const targets = house.house.of("ingress").map(({ url }) => url ?? "");
  return stack.use(
    await startShim({
      next: () => new URL(`/mcp/${server}`, targets[turn++ % targets.length]),
      headers: ["x-agent-api-key", house.key(agent)],
    }),
  ).url;
}

const asking = [
  ["sampling", "test_sampling", { prompt: "say" }, "sampled"],
  ["elicitation", "test_elicitation", { message: "who" }, "Ada"],
  ["roots", "test_input_required_result_list_roots", {}, "file:///workspace"],
  [
    "several at once, with the server's own state",
    "test_input_required_result_multiple_inputs",
    {},
    "everything was answered",
  ],
  ["several rounds", "test_input_required_result_multi_round", {}, "done"],
] as const;

describe.each([
  ["a legacy client", legacyClient],
  ["a modern client", modernClient],
] as const)("%s over two replicas of each service", (_name, connect) => {
  describe.each(["legacy", "modern"] as const)("with a %s upstream", (server) => {
    it.each(asking)("answers %s during a call", async (_what, tool, args, expected) => {
      await using client = await connect(await balanced(server));
      expect(await client.callTool(tool, { ...args })).toContain(expected);
    });

    it("gets progress while the call runs, under its own token", async () => {
      await using client = await connect(await balanced(server));
      const steps: number[] = [];
      await client.callTool("test_tool_with_progress", {}, (step) => void steps.push(step));
      expect(steps).toEqual(steps.toSorted((one, other) => one - other));
      expect(steps.length).toBeGreaterThan(1);
    });

    it("serves twenty clients at once that all count their requests alike (A20)", async () => {
      const url = await balanced(server);
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => {
          await using client = await connect(url);
          return await client.callTool("test_simple_text");
        }),
      );
      expect(new Set(answers).size).toBe(1);
    });
  });

  it("uses an upstream of the old HTTP+SSE transport, and is asked by it", async () => {
    await using client = await connect(await balanced("old"));
    expect((await client.listTools()).tools.map(({ name }) => name).toSorted()).toEqual(["old_ask", "old_shout"]);
    expect(await client.callTool("old_shout", { text: "loud" })).toBe("LOUD");
    expect(await client.callTool("old_ask")).toContain("sampled");
  });
});

describe("what a retry brings back", () => {
  const body = (params: Record<string, unknown>) => ({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: {
      name: "test_elicitation",
      arguments: { message: "who" },
      ...params,
      _meta: {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1" },
        "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {} } },
      },
    },
  });
  const ask = async (agent: string, params: Record<string, unknown> = {}) => {
    const headers = { ...modernHeaders("test_elicitation") };
    const answer = await send({
      url: `${house.house.url}/mcp/legacy`,
      key: house.key(agent),
      headers,
      body: body(params),
    });
    return JSON.parse(answer.body.toString()) as {
      result?: { resultType: string; requestState: string; inputRequests: Record<string, unknown>; content?: unknown };
      error?: { code: number };
    };
  };
  const answers = (asked: Record<string, unknown>) =>
    Object.fromEntries(
      Object.keys(asked).map((key) => [key, { action: "accept", content: { username: "Ada", email: "a@b.c" } }]),
    );

  it("is good once, for the same request of the same agent, and is asked again for what is missing", async () => {
    const first = await ask("admin-1");
    expect(first.result?.resultType).toBe("input_required");
    const { requestState = "", inputRequests = {} } = first.result ?? {};
    const foreign = await ask("admin-2", { requestState, inputResponses: answers(inputRequests) });
    expect(foreign.error?.code).toBe(-32602);
    const other = await ask("admin-1", {
      arguments: { message: "else" },
      requestState,
      inputResponses: answers(inputRequests),
    });
    expect(other.error?.code).toBe(-32602);
    const again = await ask("admin-1", { requestState, inputResponses: {} });
    expect(again.result?.inputRequests).toEqual(inputRequests);
    const state = again.result?.requestState ?? "";
    expect((await ask("admin-1", { requestState, inputResponses: answers(inputRequests) })).error?.code).toBe(-32602);
    const done = await ask("admin-1", { requestState: state, inputResponses: answers(inputRequests) });
    expect(JSON.stringify(done.result?.content)).toContain("Ada");
    expect((await ask("admin-1", { requestState: state, inputResponses: {} })).error?.code).toBe(-32602);
  });

  it("is refused when the replica that held the call was killed, and the call can begin anew", async () => {
    const first = await ask("admin-1");
    const { requestState = "", inputRequests = {} } = first.result ?? {};
    const owner = /^slr\.(i[0-9a-f]{12})\./.exec(requestState)?.[1] ?? "";
    const dead = await until("the owner", async () => {
      for (const replica of house.house.of("egress"))
        if (((await (await fetch(`${replica.health}/health`)).json()) as { instance: string }).instance === owner)
          return replica;
      return undefined;
    });
    dead.endedOnPurpose = true;
    dead.process.kill("SIGKILL");
    const lost = await until("an answer", () =>
      ask("admin-1", { requestState, inputResponses: answers(inputRequests) }),
    );
    expect(lost.error).toBeDefined();
    const anew = await until("a new beginning", async () => (await ask("admin-1")).result);
    const done = await ask("admin-1", { requestState: anew.requestState, inputResponses: answers(anew.inputRequests) });
    expect(JSON.stringify(done.result?.content)).toContain("Ada");
  });
});
