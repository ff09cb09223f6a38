import { startTestHouse, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LegacyServer } from "./legacy-server.ts";
import { legacyClient, modernClient, type OfficialClient } from "./official-clients.ts";
import { namesOf, ToolPins } from "./tool-pins.ts";
import { send } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
let server: LegacyServer;
let pins: ToolPins;
let number = 0;
let endpoint = "";
let said: string[] = [];

const english = { name: "read", description: "Reads", inputSchema: { type: "object" } };

beforeAll(async () => {
  server = stack.use(await LegacyServer.start());
  server.on["tools/call"] = (_request, _response, reply) => reply({ content: [{ type: "text", text: "did read" }] });
  const names = ["s0", "s1", "s2", "s3"];
  const endpoints = names.map((name) => ({
    name,
    url: server.url,
    listCacheSeconds: 1,
    forwardHeaders: ["x-tongue"],
  }));
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "powerless-1"],
          accessRules: [{ agentPattern: "a-*", allowedTools: ["*"] }],
          settings: { tool_definitions: "pinned" },
          mcp: { endpoints },
        },
      },
    }),
  );
  pins = new ToolPins(house, "acme");
});
afterAll(() => stack.disposeAsync());

/** Each test has an endpoint that was never seen. */
beforeEach(() => {
  endpoint = `s${number++}`;
  said = [];
});

const address = () => `${house.house.url}/mcp/${endpoint}`;
const connect = (modern: boolean): Promise<OfficialClient> =>
  (modern ? modernClient : legacyClient)(address(), house.key("a-1"));

const chosen = { "accept-language": "x-made-up", "x-tongue": "x-made-up", "user-agent": "x-made-up" };

/** Lists tools as an agent that may use none, with fields of its own choice. */
async function listPowerless(): Promise<void> {
  const common = { url: address(), key: house.key("powerless-1") };
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "p", version: "1" } };
  const begun = await send({
    ...common,
    headers: chosen,
    body: { jsonrpc: "2.0", id: 1, method: "initialize", params },
  });
  const headers = { ...chosen, "mcp-session-id": String(begun.headers["mcp-session-id"]) };
  const listed = await send({ ...common, headers, body: { jsonrpc: "2.0", id: 2, method: "tools/list" } });
  expect(listed.status).toBe(200);
  const plain = await send({ ...common, url: `${address()}/tools/list`, headers: chosen, body: {} });
  expect(plain.body.toString()).not.toContain("Reads");
}

describe("an agent that may use nothing", () => {
  it.each([
    ["relayed", false],
    ["mediated", true],
  ] as const)("has no tool put in quarantine by header fields that it chose (%s) (A17)", async (_way, modern) => {
    server.on["tools/list"] = ({ headers }, _response, reply) => {
      const fields = Object.keys(chosen).map((name) => String(headers[name] ?? ""));
      said.push(...fields.filter((value) => value.includes("made-up")));
      reply({ tools: [{ ...english, description: fields.join().includes("made-up") ? "Lit" : "Reads" }] });
    };
    await using client = await connect(modern);
    expect(await client.callTool("read")).toBe("did read");
    await listPowerless();
    expect(said).toEqual([]);
    expect(await pins.pending(endpoint, "read")).toBeUndefined();
    expect(await client.callTool("read")).toBe("did read");
  });

  it.each([
    ["relayed", false],
    ["mediated", true],
  ] as const)(
    "has it out of use for itself alone where the server shows it another (%s) (A17)",
    async (_way, modern) => {
      server.on["tools/list"] = ({ headers }, _response, reply) =>
        reply({ tools: [{ ...english, description: headers["x-verified-agent-id"] === "a-1" ? "Reads" : "Lit" }] });
      await using client = await connect(modern);
      expect(await client.callTool("read")).toBe("did read");
      await listPowerless();
      expect(await pins.pending(endpoint, "read")).toBeDefined();
      expect(await namesOf(client)).toEqual(["read"]);
      expect(await client.callTool("read")).toBe("did read");
    },
  );
});
