import { randomBytes } from "node:crypto";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startLegacyChanging, startModernChanging, type ChangingServer } from "./changing-server.ts";
import { legacyClient, modernClient, type OfficialClient } from "./official-clients.ts";
import { namesOf, ToolPins } from "./tool-pins.ts";
import { fingerprint, send } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;
const servers: Record<string, ChangingServer> = {};

beforeAll(async () => {
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`tool-${index}`, `Does ${index}`]));
  servers["many"] = stack.use(await startLegacyChanging(many));
  for (const name of ["strict", "watched", "plain", "hidden", "large", "likes"])
    servers[name] = stack.use(await startLegacyChanging({ read: "Reads", write: "Writes" }));
  servers["both"] = stack.use(await startModernChanging({ read: "Reads" }, "stateless"));
  const modes: Record<string, string> = { strict: "approved", watched: "warn", plain: "off" };
  const quick = ["strict", "watched", "hidden", "large", "likes", "both"];
  const endpoints = Object.entries(servers).map(([name, { url }]) => ({
    name,
    url,
    toolDefinitions: modes[name] ?? "pinned",
    listCacheSeconds: quick.includes(name) ? 1 : 300,
  }));
  const shared = { agents: ["a-1"], accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["never"] }] };
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: { ...shared, mcp: { endpoints: endpoints.filter(({ name }) => name !== "hidden") } },
        quiet: {
          ...shared,
          settings: { hide_denied: true },
          mcp: { endpoints: endpoints.filter(({ name }) => name === "hidden") },
        },
        polite: {
          ...shared,
          settings: { denied_status: 200, tool_definitions: "approved" },
          mcp: { endpoints: [{ name: "strict", url: servers["strict"]?.url }] },
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const pinsOf = (tenant = "acme") => new ToolPins(house, tenant);
const serverOf = (name: string): ChangingServer => servers[name] as ChangingServer;

function connect(name: string, { tenant = "acme", modern = false } = {}): Promise<OfficialClient> {
  return (modern ? modernClient : legacyClient)(`${house.house.url}/mcp/${name}`, house.key("a-1", tenant));
}

const quarantined = /tool_quarantined/;
const works = (client: OfficialClient, tool: string) => client.callTool(tool).then(Boolean, () => false);

describe("a definition", () => {
  it("of 1 MB is pinned and shown as a diff; where it cannot be compressed, it is pinned by its hash alone", async () => {
    const server = serverOf("large");
    const large = "x".repeat(1024 * 1024);
    server.tools.set("read", `${large} one`);
    server.tools.set("write", randomBytes(512 * 1024).toString("hex"));
    await using client = await connect("large");
    expect(await namesOf(client)).toEqual(["read", "write"]);
    server.tools.set("read", `${large} two`);
    server.tools.set("write", randomBytes(512 * 1024).toString("hex"));
    await until("both wait", async () => (await namesOf(client)).length === 0);
    const diff = await pinsOf().diff("large", "read");
    expect(diff).toContain(`${large} two`);
    expect(diff.split("\n").filter((line) => /^[-+] /.test(line))).toHaveLength(2);
    expect(await pinsOf().diff("large", "write")).toBe("undefined");
    for (const tool of ["read", "write"]) await pinsOf().decide("approve", ["large", tool]);
    await until("both are back", async () => (await namesOf(client)).length === 2);
  });

  it("that only looks like the approved one is another, and so is a tool whose name does", async () => {
    const server = serverOf("likes");
    await using client = await connect("likes");
    expect(await client.callTool("read")).toBe("did read");
    server.tools.set("rеad", "Reads");
    server.tools.set("read\u200b", "Reads");
    server.tools.set("write", "Writеs\u202e");
    await until("all wait", async () => (await namesOf(client)).join() === "read");
    for (const name of ["rеad", "read\u200b", "write"])
      await expect(client.callTool(name)).rejects.toThrow(quarantined);
    expect(await client.callTool("read")).toBe("did read");
    expect(await pinsOf().diff("likes", "write")).toContain("Writеs\\u202e");
  });

  it("is the same to agents of both eras, though their messages differ", async () => {
    const both = await Promise.all([connect("both"), connect("both", { modern: true })]);
    for (const client of both) {
      expect(await namesOf(client)).toEqual(["read"]);
      expect(await client.callTool("read")).toBe("did read");
      await client[Symbol.asyncDispose]();
    }
    expect((await pinsOf().find("both", "read"))?.definitions).toHaveLength(1);
  });
});

describe("what it costs", () => {
  it("is one list for all calls of an agent while it is kept, also with 500 tools", async () => {
    const server = serverOf("many");
    await using client = await connect("many");
    for (let index = 0; index < 50; index++) expect(await client.callTool(`tool-${index}`)).toBe(`did tool-${index}`);
    expect(server.listed).toBe(1);
    expect(await pinsOf().all("?server=many&state=approved")).toHaveLength(500);
  });

  it("is nothing where the endpoint is not pinned", async () => {
    const server = serverOf("plain");
    await using client = await connect("plain");
    for (let index = 0; index < 10; index++) expect(await client.callTool("read")).toBe("did read");
    expect(server.listed).toBe(0);
    server.tools.set("read", "Is another");
    expect(await client.callTool("read")).toBe("did read");
    expect(await pinsOf().all("?server=plain")).toEqual([]);
  });

  it("is a list anew when the server says that its tools have changed, however long they are kept", async () => {
    const server = serverOf("many");
    await using client = await connect("many");
    expect(await client.callTool("tool-1")).toBe("did tool-1");
    await until("the client listens", () => works(client, "tool-1"));
    server.tools.set("tool-1", "Does something else");
    await until("the change is heard", async () => {
      server.sayChanged();
      return !(await works(client, "tool-1"));
    });
    expect(await client.callTool("tool-2")).toBe("did tool-2");
  });
});

describe("how far definitions are held to", () => {
  it("approved: nothing is usable before an operator says so", async () => {
    await using client = await connect("strict");
    expect(await namesOf(client)).toEqual([]);
    await expect(client.callTool("read")).rejects.toThrow(quarantined);
    await pinsOf().decide("approve", ["strict", "read"]);
    await until("it may be used", () => works(client, "read"));
    await until("it is listed", async () => (await namesOf(client)).join() === "read");
    await expect(client.callTool("write")).rejects.toThrow(quarantined);
  });

  it("warn: a change is on record and nothing is refused", async () => {
    const server = serverOf("watched");
    await using client = await connect("watched");
    expect(await namesOf(client)).toEqual(["read", "write"]);
    server.tools.set("read", "Is another");
    await until("the change is seen", async () => {
      expect(await namesOf(client)).toEqual(["read", "write"]);
      return await pinsOf().pending("watched", "read");
    });
    expect(await client.callTool("read")).toBe("did read");
    expect(await house.logs()).toContain("a tool's definition waits for approval");
  });

  it("a tenant that hides what it denies answers as to an unknown tool, and the audit trail has the reason", async () => {
    const url = house.house.url;
    const key = house.key("a-1", "quiet");
    const server = serverOf("hidden");
    await using client = await connect("hidden", { tenant: "quiet" });
    expect(await namesOf(client)).toEqual(["read", "write"]);
    server.tools.set("read", "Is another");
    await until("the change is seen", async () => (await namesOf(client)).join() === "write");
    await expect(client.callTool("read")).rejects.toThrow("Unknown tool: read");
    const plain = (name: string) => send({ url: `${url}/mcp/tools/call`, key, body: { name, arguments: {} } });
    const [denied, waiting] = [await plain("never"), await plain("read")];
    expect(
      fingerprint(waiting)
        .replaceAll("read", "never")
        .replace(/content-length: \d+/, ""),
    ).toBe(fingerprint(denied).replace(/content-length: \d+/, ""));
    const rows = await until("the outcomes are stored", async () => {
      const found = await house.query<{ status: number }>(
        "select status from audit_calls where tenant = 'quiet' and fault = 'tool_quarantined' order by at",
      );
      return found.length === 2 ? found : undefined;
    });
    expect(rows.map(({ status }) => status)).toEqual([200, 404]);
  });

  it("a tenant may have the refusal told with status 200", async () => {
    await using client = await connect("strict", { tenant: "polite" });
    await expect(client.callTool("read")).rejects.toMatchObject({
      code: 1403,
      data: { error: "tool_quarantined", tool: "read" },
    });
  });
});

describe("an operator's decision", () => {
  it("needs the role and an existing definition, and refuses what it does not know", async () => {
    const pins = pinsOf();
    expect(await pins.decide("approve", ["strict", "write"], "0".repeat(64))).toMatchObject({ status: 404 });
    expect(await pins.decide("approve", ["strict", "write"], "latest")).toMatchObject({ status: 400 });
    expect(await pins.decide("reject", ["strict", "nothing"])).toMatchObject({ status: 404 });
    expect(await pins.decide("reject", ["strict", "read"])).toMatchObject({ status: 409 });
  });
});
