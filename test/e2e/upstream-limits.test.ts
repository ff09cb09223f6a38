import type { ServerResponse } from "node:http";
import { jetstreamManager } from "@nats-io/jetstream";
import type { Intent, ServiceName, TrailEvent } from "@sluice/contracts";
import { answerEcho, FakeUpstream, startTestHouse, until, type TestHouse, type UpstreamHandler } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { connectAs } from "./bus-spy.ts";
import { call, legacyHeaders, listen, open, send, type EventReader, type Sent } from "./wire.ts";

const most = 3;
/** To one endpoint: less than two agents may have under way. */
const connections = 4;
const mebibyte = 1024 * 1024;
let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  const rest = {
    mcp: { endpoints: [{ name: "main", url: upstream.url, listCacheSeconds: 0 }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["secret-*"] }],
  };
  house = stack.use(
    await startTestHouse({
      tenants: { acme: { agents: ["a-1", "a-2", "a-3"], ...rest }, beta: { agents: ["b-1"], ...rest } },
      env: {
        EGRESS_MAX_CALLS_PER_AGENT: String(most),
        EGRESS_MAX_STREAMS_PER_AGENT: String(most),
        EGRESS_CONNECTIONS_PER_UPSTREAM: String(connections),
        EGRESS_MAX_WAITING_PER_UPSTREAM: "1",
        EGRESS_UNREAD_TIMEOUT_MS: "2000",
      },
    }),
  );
});
const leaving: (() => void)[] = [];
const answering = new Set<ServerResponse>();
/** A legacy call goes on without its client: the upstream ends them all. */
afterEach(async () => {
  for (const leave of leaving.splice(0)) leave();
  for (const response of answering) response.destroy();
  await underWay(0);
});
const underWay = (calls: number) =>
  until(`${calls} calls under way in egress`, async () => {
    const metrics = await (await fetch(`${house.house.of("egress")[0]?.health}/metrics`)).text();
    return new RegExp(`^sluice_upstream_calls_active(\\{[^}]*\\})? ${calls}$`, "m").test(metrics);
  });
afterAll(() => stack.disposeAsync());

const to = (body: unknown, agent = "a-1"): Sent => ({
  url: `${house.house.url}/mcp`,
  key: house.key(agent, agent.startsWith("b") ? "beta" : "acme"),
  headers: legacyHeaders,
  ...(body !== undefined && { body }),
});
const listening = (agent = "a-1"): Sent => ({ ...to(undefined, agent), method: "GET" });
const list = { jsonrpc: "2.0", id: 1, method: "tools/list" };
const sse = { "content-type": "text/event-stream" };
/** Answers and remembers who is still there. */
const stays = (write: UpstreamHandler) => {
  upstream.handler = (request, response) => {
    answering.add(response);
    response.once("close", () => answering.delete(response));
    return write(request, response);
  };
};
const openStream: UpstreamHandler = (_request, response) => void response.writeHead(200, sse).flushHeaders();

async function stop(service: ServiceName) {
  for (const replica of house.house.of(service)) {
    replica.endedOnPurpose = true;
    await replica.process.stop("SIGTERM");
  }
}

/** Calls that are not answered. */
function hang(calls: number, agent = "a-1") {
  const requests = Array.from({ length: calls }, (_, id) => open(to(call(id, "hangs"), agent)));
  for (const request of requests) request.on("error", () => {});
  leaving.push(() => requests.forEach((request) => request.destroy()));
}

describe("an agent that takes more than its share of egress", () => {
  it("gets 503 for the next stream; its calls, and streams of others, go on; a stream that ends makes room", async () => {
    stays(openStream);
    const readers = await Promise.all(Array.from({ length: most }, () => listen(listening())));
    leaving.push(...readers.map((reader) => () => reader.leave()));
    const refused = await send(listening());
    expect(refused.status).toBe(503);
    expect(refused.headers["retry-after"]).toBe("1");
    expect(JSON.parse(refused.body.toString())).toMatchObject({
      error: { data: { error: "overloaded", message: "too many streams are open for the agent 'a-1'" } },
    });
    const others = [await listen(listening("a-2")), await listen(to(call(1, "streams")))];
    leaving.push(...others.map((reader) => () => reader.leave()));
    expect(answering.size).toBe(most + 2);
    for (const response of answering) response.end();
    (await until("room for another stream", () => listen(listening()).catch(() => undefined))).leave();
  });

  it("gets 503 for the next call; others go on", async () => {
    stays(() => {});
    hang(most);
    await until("all of them at the upstream", () => answering.size === most);
    const refused = await send(to(call(9, "one-too-many")));
    expect(refused.status).toBe(503);
    hang(1, "a-2");
    await until("the other agent's call at the upstream", () => answering.size === most + 1);
  });
});

describe("the connections to an upstream, all in use", () => {
  it("let some calls wait and refuse the next with 503 at once; other tenants of the same upstream go on", async () => {
    stays(() => {});
    hang(most);
    hang(connections - most + 1, "a-2");
    await until("a call per connection at the upstream", () => answering.size === connections);
    await underWay(connections + 1);
    const refused = await send(to(call(9, "one-too-many"), "a-3"));
    expect(refused.status).toBe(503);
    expect(refused.body.toString()).toContain("too many calls to the server 'main' are under way");
    const reachedBefore = upstream.requests.length;
    [...answering][0]?.end("{}");
    await until("the call that waited at the upstream", () => upstream.requests.length > reachedBefore);
    upstream.handler = answerEcho;
    expect((await send(to(call(1, "echo"), "b-1"))).status).toBe(200);
  });

  it("refuse the next stream with 503 at once", async () => {
    stays(openStream);
    const readers = await Promise.all(["a-1", "a-1", "a-2", "a-2"].map((agent) => listen(listening(agent))));
    leaving.push(...readers.map((reader) => () => reader.leave()));
    const refused = await send(listening("a-3"));
    expect(refused.status).toBe(503);
    expect(refused.body.toString()).toContain("too many streams of the server 'main' are open");
  });
});

/** What waits for the audit service: who reported which fault of calls to this tool. */
async function waitingOutcomes(tool: string): Promise<string[]> {
  const nats = await connectAs(house, "control");
  const { streams } = await jetstreamManager(nats);
  const { state } = await streams.info("AUDIT");
  const calls = new Set<string>();
  const reported: { call: string; text: string }[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await streams.getMessage("AUDIT", { seq });
    const said = message?.json<{ calls?: Partial<Intent>[]; events?: TrailEvent[] }>();
    for (const { call: id = "", target } of said?.calls ?? []) if (target === tool) calls.add(id);
    for (const event of said?.events ?? [])
      if (event.event === "outcome")
        reported.push({ call: event.call, text: `${event.fault} by ${message?.subject.replace(/.*\./, "")}` });
  }
  await nats.close();
  return reported.filter((outcome) => calls.has(outcome.call)).map(({ text }) => text);
}

describe("a call that fails in egress", () => {
  it("is concluded by egress, and by nobody else", async () => {
    upstream.handler = (_request, response) => void response.destroy();
    await stop("audit");
    expect((await send(to(call(1, "fails")))).status).toBe(502);
    // Ingress concludes refusals itself, and in order: what it had to say of the failure came before.
    expect((await send(to(call(2, "secret-refused")))).status).toBe(403);
    for (const tool of ["secret-refused", "fails"])
      await until(`${tool} in the audit stream`, async () => (await waitingOutcomes(tool)).length > 0);
    expect(await waitingOutcomes("fails")).toEqual(["upstream_failed by egress"]);
    await house.house.add("audit");
  });
});

describe("an answer that nobody reads any more", () => {
  const note = (data: string) =>
    `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${data}"}}\n\n`;
  const resumed = (reader: EventReader): Sent => ({
    ...listening(),
    headers: { ...legacyHeaders, "last-event-id": reader.events.findLast(({ id }) => id !== undefined)?.id ?? "" },
  });

  it.each([
    ["a call's", () => to(call(1, "flood"))],
    ["a stream of the server's own messages", () => listening()],
  ])(
    "is ended at the upstream after some megabytes: %s",
    async (_name, sent) => {
      const closed = Promise.withResolvers<void>();
      let bytes = 0;
      upstream.handler = async (_request, response) => {
        response.writeHead(200, sse).once("close", closed.resolve);
        for (const event = note("x".repeat(60_000)); !response.destroyed; bytes += event.length)
          await new Promise((resolve) => response.write(event, resolve));
      };
      const reader = await listen(sent());
      await reader.count(1);
      const before = bytes;
      reader.leave();
      await closed.promise;
      expect(bytes - before).toBeLessThan(64 * mebibyte);
    },
    60_000,
  );

  it("is ended after a while, and its client finds an error as the answer when it comes back", async () => {
    stays((_request, response) => void response.writeHead(200, sse).write(note("begun")));
    const reader = await listen(to(call(7, "forgotten")));
    await reader.count(1);
    reader.leave();
    await until("the connection to the upstream is closed", () => answering.size === 0);
    const back = await listen(resumed(reader));
    expect(await back.finished()).toBe("end");
    expect(back.messages).toMatchObject([{ id: 7, error: { code: 1499, data: { error: "client_left" } } }]);
  });
});

describe("an upstream's session that cannot be registered", () => {
  it("ends the exchange with 503, and leaves no connection to the upstream", async () => {
    stays((_request, response) => {
      response.writeHead(200, { ...sse, "mcp-session-id": "upstream-session" }).flushHeaders();
    });
    await stop("session-manager");
    const answer = await send(to({ jsonrpc: "2.0", id: 1, method: "initialize", params: {} }));
    expect(answer.status).toBe(503);
    await until("the connection is closed", () => answering.size === 0);
    const last = await until("the session's end", () =>
      upstream.requests.findLast(({ method }) => method === "DELETE"),
    );
    expect(last.headers["mcp-session-id"]).toBe("upstream-session");
    await house.house.add("session-manager");
  });
});

describe("lists of tools", () => {
  const tool = (name: string) => ({ name, inputSchema: { type: "object" } });
  const answered = (tools: unknown[]) => JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools } });
  const names = (text: string) =>
    (JSON.parse(text) as { result: { tools: { name: string }[] } }).result.tools.map(({ name }) => name);
  const pad = "n".repeat(200);
  const many = Array.from({ length: 20_000 }, (_, index) => `${index % 2 === 0 ? "secret" : "open"}-${pad}${index}`);
  const shown = many.filter((name) => name.startsWith("open"));

  it.each(["application/json", "text/event-stream"])("with 20,000 long names are filtered, as %s", async (type) => {
    const body = answered([...many, "\u0001".repeat(2_500)].map(tool));
    upstream.handler = (_request, response) =>
      void response
        .writeHead(200, { "content-type": type })
        .end(type === sse["content-type"] ? `data: ${body}\n\n` : body);
    if (type === "application/json") {
      const answer = await send(to(list));
      expect(answer.status).toBe(200);
      expect(names(answer.body.toString())).toEqual(shown);
    } else {
      const reader = await listen(to(list));
      expect(await reader.finished()).toBe("end");
      expect(names(reader.events.at(-1)?.data ?? "")).toEqual(shown);
    }
  });

  it("in a JSON array, which no answer is, are not shown", async () => {
    const body = `[${answered([tool("secret-a")])}]`;
    upstream.handler = (_request, response) =>
      void response.writeHead(200, { "content-type": "application/json" }).end(body);
    const answer = await send(to(list));
    expect(answer.status).toBe(502);
    expect(answer.body.toString()).not.toContain("secret-a");
    upstream.handler = (_request, response) => void response.writeHead(200, sse).end(`data: ${body}\n\n`);
    const reader = await listen(to(list));
    expect(await reader.finished()).toBe("end");
    expect(reader.messages.map(({ error }) => error?.code)).toEqual([1502]);
  });

  it.each([
    ["an answer", () => to(list)],
    ["a stream of the server's own messages", () => listening()],
  ])("come through events without data in %s", async (_name, sent) => {
    const quiet = ["id: 1\n\n", "event: ping\n\n", ": note\n\n", "retry: 500\n\n", "id: 2\nevent: x\n\n"].join("");
    upstream.handler = (_request, response) => {
      response.writeHead(200, sse);
      response.write(`${quiet}data: ${answered([tool("secret-a"), tool("open-a")])}\n\n${quiet}`);
      response.end(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}\n\n`);
    };
    const reader = await listen(sent());
    await reader.count(2);
    expect(names(reader.messages.length > 0 ? JSON.stringify(reader.messages[0]) : "")).toEqual(["open-a"]);
    expect(reader.messages[1]?.method).toBe("notifications/message");
    reader.leave();
  });

  it("in one event larger than a message of the bus are filtered and relayed whole", async () => {
    const description = "d".repeat(3 * mebibyte);
    upstream.handler = (_request, response) =>
      void response
        .writeHead(200, sse)
        .end(`data: ${answered([tool("secret-a"), { ...tool("open-a"), description }])}\n\n`);
    const reader = await listen(to(list));
    expect(await reader.finished()).toBe("end");
    expect(reader.messages).toEqual([
      { jsonrpc: "2.0", id: 1, result: { tools: [{ ...tool("open-a"), description }] } },
    ]);
  });
});
