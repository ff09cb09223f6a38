import type { ServerResponse } from "node:http";
import { FakeUpstream, startTestHouse, until, type TestHouse, type UpstreamHandler } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { call, legacyHeaders, listen, open, send, type Sent } from "./wire.ts";

const most = 3;
const mebibyte = 1024 * 1024;
let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1", "a-2"],
          mcp: { endpoints: [{ name: "main", url: upstream.url }] },
          accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["secret-*"] }],
        },
      },
      env: { EGRESS_MAX_CALLS_PER_AGENT: String(most), EGRESS_MAX_STREAMS_PER_AGENT: String(most) },
    }),
  );
});
const leaving: (() => void)[] = [];
const answering = new Set<ServerResponse>();
/** A legacy call goes on without its client: the upstream ends them all. */
afterEach(async () => {
  for (const leave of leaving.splice(0)) leave();
  for (const response of answering) response.destroy();
  await until("egress has nothing to do", async () =>
    (await (await fetch(`${house.house.of("egress")[0]?.health}/metrics`)).text()).match(
      /^sluice_upstream_calls_active(\{[^}]*\})? 0$/m,
    ),
  );
});
afterAll(() => stack.disposeAsync());

const to = (body: unknown, agent = "a-1"): Sent => ({
  url: `${house.house.url}/mcp`,
  key: house.key(agent),
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
    leaving.push(
      (
        (reader) => () =>
          reader.leave()
      )(await listen(listening("a-2"))),
    );
    leaving.push(
      (
        (reader) => () =>
          reader.leave()
      )(await listen(to(call(1, "streams")))),
    );
    expect(answering.size).toBe(most + 2);
    for (const response of answering) response.end();
    const again = await until("room for another stream", () => listen(listening()).catch(() => undefined));
    leaving.push(() => again.leave());
  });

  it("gets 503 for the next call, once in the audit trail; others go on", async () => {
    stays(() => {});
    const hanging = Array.from({ length: most }, (_, id) => open(to(call(id, "hangs"))));
    for (const request of hanging) request.on("error", () => {});
    leaving.push(() => hanging.forEach((request) => request.destroy()));
    await until("all of them at the upstream", () => answering.size === most);
    const refused = await send(to(call(9, "one-too-many")));
    expect(refused.status).toBe(503);
    const other = open(to(call(1, "hangs"), "a-2"));
    other.on("error", () => {});
    leaving.push(() => other.destroy());
    await until("the other agent's call at the upstream", () => answering.size === most + 1);
    const rows = await until("the refusal in the audit trail", async () => {
      const found = await house.query<{ kind: string; fault: string | null }>(
        `select o.kind, o.fault from audit_events i join audit_events o on o.call = i.call
         where i.target = 'one-too-many' and o.kind = 'outcome'`,
      );
      return found.length > 0 && found;
    });
    expect(rows).toEqual([{ kind: "outcome", fault: "overloaded" }]);
  });
});

describe("an answer that nobody reads any more", () => {
  it("is ended at the upstream after some megabytes, in the legacy era too", async () => {
    const gone = Promise.withResolvers<number>();
    upstream.handler = async (_request, response) => {
      let sent = 0;
      response.writeHead(200, sse);
      response.once("close", () => gone.resolve(sent));
      while (!response.destroyed) {
        const event = `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${"x".repeat(60_000)}"}}\n\n`;
        sent += event.length;
        await new Promise((resolve) => response.write(event, resolve));
      }
    };
    const reader = await listen(to(call(1, "flood")));
    await reader.count(1);
    reader.leave();
    const sent = await gone.promise;
    expect(sent).toBeLessThan(200 * mebibyte);
  }, 60_000);
});

describe("an upstream's session that cannot be registered", () => {
  it("ends the exchange with 503, and leaves no connection to the upstream", async () => {
    stays((_request, response) => {
      response.writeHead(200, { ...sse, "mcp-session-id": "upstream-session" }).flushHeaders();
    });
    const [manager] = house.house.of("session-manager");
    if (manager === undefined) throw new Error("no session-manager");
    manager.endedOnPurpose = true;
    await manager.process.stop("SIGTERM");
    const answer = await send(to({ jsonrpc: "2.0", id: 1, method: "initialize", params: {} }));
    expect(answer.status).toBe(503);
    await until("the connection is closed", () => answering.size === 0);
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
