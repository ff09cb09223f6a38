import { createHash, randomBytes } from "node:crypto";
import { answerJson, FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { startAgent, type ReferenceAgent } from "../conformance-a2a/agents/agent.ts";
import { send, type Answer } from "./wire.ts";

/** As seed 001 has it (policies/agent-audit-log.yaml). */
const seed = `
captureFields:
  request:
    - header: x-verified-agent-id
      as: agentId
    - header: x-verified-agent-name
      as: agentName
    - header: x-verified-agent-owner
      as: agentOwner
    - jsonPath: "$.method"
      as: protocolMethod
    # MCP-specific
    - jsonPath: "$.params.name"
      as: toolName
      onPath: /mcp/tools/call
    # A2A-specific
    - jsonPath: "$.params.message.parts[0].kind"
      as: messageKind
      onPath: /a2a/tasks/send
  response:
    - jsonPath: "$.result.isError"
      as: toolError
      onPath: /mcp/tools/call
    - jsonPath: "$.result.status.state"
      as: taskState
      onPath: /a2a/tasks/send
`;

const canary = "cnry-capture-Qm4Zt8Wd2Rk7";
const stack = new AsyncDisposableStack();
let house: TestHouse;
let agents: Readonly<Record<"0.3" | "1.0", ReferenceAgent>>;

beforeAll(async () => {
  const upstream = stack.use(await FakeUpstream.start(serve));
  agents = { "0.3": stack.use(await startAgent("0.3")), "1.0": stack.use(await startAgent("1.0")) };
  const behind = {
    agents: ["a-1"],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    a2a: {
      endpoints: (["0.3", "1.0"] as const).map((version) => ({
        name: `v${version[0]}`,
        url: agents[version].jsonRpcUrl,
        version,
      })),
    },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["denied"] }],
  };
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: { ...behind, audit: parse(seed) as object },
        plain: behind,
        open: {
          ...behind,
          audit: {
            content: { requests: true, responses: true, maxBytes: 64 },
            captureFields: {
              request: [
                { jsonPath: "$.params.configuration.pushNotificationConfig", as: "config" },
                { jsonPath: "$..token", as: "token" },
              ],
            },
          },
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

/** The tool's name says how a call is answered; spaces and escapes are to come through as they are. */
function serve({ method, message }: ReceivedRequest, response: Parameters<FakeUpstream["handler"]>[1]): void {
  if (method !== "POST" || message?.id === undefined) return void response.writeHead(202).end();
  const id = JSON.stringify(message.id);
  const tool = String(message.params?.["name"]);
  if (message.method !== "tools/call")
    return answerJson(response, { jsonrpc: "2.0", id: message.id, result: { tools: [] } });
  const text = tool === "large" ? "x".repeat(400_000) : `\\u0064one ${tool}`;
  const result = `{ "content" : [{"type":"text","text":"${text}"}],\t"isError":${tool === "fails"} }`;
  const body = `{"id":${id}, "result": ${result} ,"jsonrpc":"2.0"}`;
  if (tool !== "streams") return void response.writeHead(200, { "content-type": "application/json" }).end(body);
  const notice = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}';
  response
    .writeHead(200, { "content-type": "text/event-stream" })
    .end(`data: ${notice}\n\nevent: message\ndata: ${body}\n\n`);
}

const url = (path: string) => `${house.house.url}${path}`;
const legacy = { "mcp-protocol-version": "2025-03-26" };
/** Each request is a trace of its own, by which it is found again. */
async function post(path: string, body: string, { tenant = "acme", headers = legacy as Record<string, string> } = {}) {
  const trace = randomBytes(16).toString("hex");
  const told = { ...headers, traceparent: `00-${trace}-00f067aa0ba902b7-01` };
  const answer = await send({ url: url(path), key: house.key("a-1", tenant), headers: told, body: Buffer.from(body) });
  return { ...answer, trace };
}
const toolCall = (name: string, args = "{}", id = "1") =>
  `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"${name}","arguments":${args}}}`;
const said = ({ body }: Answer) => JSON.parse(body.toString()) as { result: Record<string, unknown> };
const sha256 = (bytes: string | Buffer) => createHash("sha256").update(bytes).digest("hex");

interface Row {
  captured: Record<string, unknown>;
  asked: string | null;
  answered: string | null;
  status: number;
}

/** What is on record of the calls of a request, once their outcomes are. */
async function recorded({ trace }: { trace: string }, count = 1): Promise<Row[]> {
  const bytes = "encode(arguments_hash, 'hex') as asked, encode(result_hash, 'hex') as answered";
  return await until("the calls are on record", async () => {
    const rows = await house.query<Row & { state: string }>(
      `select captured, ${bytes}, status, state from audit_calls where trace = $1`,
      [trace],
    );
    return rows.length === count && rows.every(({ state }) => state === "done") ? rows : undefined;
  });
}

const identity = { agentId: "a-1", agentName: "Agent a-1", agentOwner: "tests" };
const inMcp = { ...identity, protocolMethod: "tools/call" };

describe("P7: seed 001's captureFields", () => {
  it.each([
    ["/mcp", "search", false],
    ["/mcp/main", "fails", true],
    ["/mcp/tools/call", "search", false],
    ["/mcp", "streams", false],
  ])("give its fields of a tool call at %s: %s", async (path, name, toolError) => {
    const answer = await post(path, toolCall(name), path === "/mcp/tools/call" ? { headers: {} } : {});
    expect((await recorded(answer))[0]?.captured).toEqual({ ...inMcp, toolName: name, toolError });
  });

  it("say who called, whatever a client claims by these names (A15)", async () => {
    const headers = { ...legacy, "x-verified-agent-id": "root" };
    expect((await recorded(await post("/mcp", toolCall("search"), { headers })))[0]?.captured).toMatchObject(identity);
  });

  it("give what there is where the rules refuse the call: nothing of an answer", async () => {
    const answer = await post("/mcp", toolCall("denied"));
    expect(answer.status).toBe(403);
    expect(await recorded(answer)).toMatchObject([{ captured: { ...inMcp, toolName: "denied" }, answered: null }]);
  });

  it.each([
    ["of its own revision", "/a2a/v0"],
    ["of another revision", "/a2a/v1"],
    ["by seed 001's path", "/a2a/tasks/send"],
  ])("give its fields of a message to an agent %s, in the client's words", async (_which, path) => {
    const message = '{"kind":"message","messageId":"m-1","role":"user","parts":[{"kind":"text","text":"echo hi"}]}';
    const body = `{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":${message}}}`;
    const answer = await post(path, body, { headers: {} });
    expect(said(answer).result["status"]).toMatchObject({ state: "completed" });
    const [row] = await recorded(answer);
    expect(row?.captured).toEqual({
      ...identity,
      protocolMethod: "message/send",
      messageKind: "text",
      taskState: "completed",
    });
    expect(row?.answered).toBe(sha256(JSON.stringify(said(answer).result)));
  });

  it.each([
    ["of its own revision", "/a2a/v0"],
    ["of another revision", "/a2a/v1"],
  ])("give those of the last event of a stream of an agent %s, with its digest", async (_which, path) => {
    const message = { kind: "message", messageId: "m-2", role: "user", parts: [{ kind: "text", text: "echo hi" }] };
    const rpc = { jsonrpc: "2.0", id: 1, method: "message/stream", params: { message } };
    const answer = await post(path, JSON.stringify(rpc), { headers: { accept: "text/event-stream" } });
    const events = [...answer.body.toString().matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => data);
    const { result } = JSON.parse(events.at(-1) ?? "") as { result: object };
    expect(result).toMatchObject({ status: { state: "completed" } });
    const [row] = await recorded(answer);
    expect(row).toMatchObject({ captured: { protocolMethod: "message/stream" } });
    expect(row?.answered).toBe(sha256(JSON.stringify(result)));
  });
});

describe("the digests of arguments and result", () => {
  const args = ' { "q" : "\\u00e9\\/", "n":1.0e0 } ';

  it.each([
    ["one answer", "search"],
    ["an event stream", "streams"],
  ])("are those of the client's own bytes: %s", async (_how, tool) => {
    const answer = await post("/mcp", toolCall(tool, args));
    const result = /"result": (.*) ,"jsonrpc"/.exec(answer.body.toString())?.[1] ?? "";
    expect(result).toContain("\\u0064one");
    expect(await recorded(answer)).toMatchObject([{ asked: sha256(args.trim()), answered: sha256(result) }]);
  });

  it("are each message's own in a batch", async () => {
    const parts = [toolCall("one", '{"n":  1}', "1"), toolCall("two", '{"n":\t2}', "2")];
    const answer = await post("/mcp", `[${parts.join(" , ")}]`);
    const rows = await recorded(answer, 2);
    const results = [...answer.body.toString().matchAll(/"result": (.*?) ,"jsonrpc"/g)].map(([, result = ""]) =>
      sha256(result),
    );
    expect(new Set(rows.map(({ asked }) => asked))).toEqual(new Set(['{"n":  1}', '{"n":\t2}'].map(sha256)));
    expect(new Set(rows.map(({ answered }) => answered))).toEqual(new Set(results));
    expect(results).toHaveLength(2);
  });

  it("hold over what travels in pieces: the arguments' own bytes, and the whole of an answer above 256 KiB", async () => {
    const large = `{"text":"${"y".repeat(700_000)}"}`;
    const answer = await post("/mcp", toolCall("large", large));
    const [row] = await recorded(answer);
    expect(row).toMatchObject({ asked: sha256(large), answered: sha256(answer.body) });
    expect(row?.captured).toMatchObject({ ...identity, $skipped: "too_large" });
  });

  it("are of the whole body where the parameters came alone", async () => {
    const answer = await post("/mcp/tools/call", '{"name":"search","arguments":{"a": 1}}', { headers: {} });
    expect(await recorded(answer)).toMatchObject([{ asked: sha256('{"a": 1}'), answered: sha256(answer.body) }]);
  });

  it("are there for a tenant that has nothing captured", async () => {
    const answer = await post("/mcp", toolCall("search", args), { tenant: "plain" });
    expect(await recorded(answer)).toMatchObject([{ captured: {}, asked: sha256(args.trim()) }]);
  });

  it("of parameters, where a method has no arguments", async () => {
    const answer = await post("/mcp", '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"a":  1}}}');
    expect(await recorded(answer)).toMatchObject([{ asked: sha256('{"_meta":{"a":  1}}') }]);
  });
});

describe("A31: content and credentials", () => {
  const contentOf = (tenant: string) =>
    house.query<{ part: string; text: string; bytes: string }>(
      `select part, convert_from(data, 'UTF8') as text, bytes from audit_content
       join audit_events using (event_id) where tenant = $1 order by part`,
      [tenant],
    );

  it("are kept only of a tenant that wants content, only bodies, and cut where that is said", async () => {
    const secret = { ...legacy, authorization: `Basic ${canary}`, cookie: canary, "x-custom": canary };
    const body = toolCall("search", `{"word":"${canary}"}`);
    for (const tenant of ["acme", "plain"]) await recorded(await post("/mcp", body, { tenant, headers: secret }));
    const short = toolCall("s");
    const answer = await post("/mcp", short, { tenant: "open", headers: secret });
    const rows = await until("content is on record", async () => {
      const found = await contentOf("open");
      return found.length === 2 ? found : undefined;
    });
    expect(rows).toEqual([
      { part: "request", text: short.slice(0, 64), bytes: String(Buffer.byteLength(short)) },
      { part: "response", text: answer.body.toString().slice(0, 64), bytes: String(answer.body.length) },
    ]);
    for (const tenant of ["acme", "plain"]) expect(await contentOf(tenant)).toEqual([]);
    const tables = ["audit_events", "audit_subjects", "audit_captured", "audit_content"];
    for (const table of tables) {
      const [found] = await house.query<{ count: string }>(`select count(*) from ${table} as t where t::text like $1`, [
        `%${canary}%`,
      ]);
      expect(found, table).toEqual({ count: "0" });
    }
    const hex = Buffer.from(canary).toString("hex");
    const content = await house.query("select 1 from audit_content where encode(data, 'hex') like $1", [`%${hex}%`]);
    expect(content).toEqual([]);
    expect(await house.logs()).not.toContain(canary);
  });

  it("are kept of no request that has a webhook's credential in it", async () => {
    const message = { kind: "message", messageId: "m-3", role: "user", parts: [{ kind: "text", text: "echo hi" }] };
    const pushNotificationConfig = { url: "https://hooks.example.com/", token: canary };
    const params = { message, configuration: { pushNotificationConfig } };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "message/send", params });
    const { trace } = await post("/a2a/v0", body, { tenant: "open", headers: {} });
    const kept = await until("its content is on record", async () => {
      const rows = await house.query<{ data: string; bytes: string; captured: object }>(
        `select encode(data, 'escape') as data, said.bytes, audit_calls.captured from audit_content join audit_events as said using (event_id)
         join audit_calls using (call) where audit_calls.trace = $1 and said.part = 'request'`,
        [trace],
      );
      return rows.length > 0 ? rows : undefined;
    });
    expect(kept).toMatchObject([{ data: "", bytes: String(Buffer.byteLength(body)) }]);
    expect(kept[0]?.captured).toEqual({ config: { url: pushNotificationConfig.url } });
    expect(await house.logs()).not.toContain(canary);
  });
});
