import { once } from "node:events";
import { createServer, get, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { BodyBudget } from "./budget.ts";
import { MessageStream } from "./message-stream.ts";
import { drained } from "./writing.ts";

const megabyte = 1024 * 1024;
let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

/** A client that reads nothing until it is told to, and the stream to it. */
async function connected({ keepAliveMs = 60_000 } = {}) {
  const budget = new BodyBudget(64 * megabyte);
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const request = get({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  request.on("error", () => {});
  stack.defer(() => {
    request.destroy();
    server.closeAllConnections();
    server.close();
  });
  const [, response] = (await once(server, "request")) as [IncomingMessage, ServerResponse];
  const of = (id: string) => budget.of({ tenant: "acme", agent: { id } });
  const stream = new MessageStream({ response, budget: of("a-1"), keepAliveMs });
  stream.open();
  const [client] = (await once(request, "response")) as [IncomingMessage];
  client.on("error", () => {});
  return { client, response, stream, other: of("a-2").open() };
}

describe("MessageStream", () => {
  it("writes each message as one event, with line breaks between tokens kept apart", async () => {
    const { client, stream } = await connected();
    stream.send("/mcp/messages?session=x", "endpoint");
    stream.send(Buffer.from('{"a":\r\n1,\n"b":"ü"}'));
    stream.end();
    const text = Buffer.concat(await client.toArray()).toString();
    const second = 'event: message\ndata: {"a":\ndata: 1,\ndata: "b":"ü"}\n\n';
    expect(text).toBe(`event: endpoint\ndata: /mcp/messages?session=x\n\n${second}`);
  });

  it("keeps an idle stream open with comments", async () => {
    const { client } = await connected({ keepAliveMs: 5 });
    const [chunk] = (await once(client, "data")) as [Buffer];
    expect(chunk.toString()).toBe(": \n\n");
  });

  it("lets the answers that go into it wait for a slow reader, and go on when it reads", async () => {
    const { client, stream } = await connected();
    const answer = stream.answer((message) => stream.send(message));
    answer.writeHead(200, { "content-type": "text/event-stream" });
    while (answer.writableLength < 4 * megabyte) answer.write(`data: "${"x".repeat(megabyte)}"\n\n`);
    const waiting = drained(answer, megabyte);
    client.resume();
    await waiting;
    expect(answer.writableLength).toBeLessThanOrEqual(megabyte);
  });

  it("breaks off where a reader leaves more unread than may wait, and its answers end with it", async () => {
    const { response, stream } = await connected();
    const answer = stream.answer(() => {});
    const closed = once(answer, "close");
    for (let sent = 0; sent < 64 && !response.destroyed; sent++) stream.send(Buffer.alloc(megabyte, "x"));
    await closed;
    expect([response.destroyed, answer.destroyed, stream.over]).toEqual([true, true, true]);
  });
});

describe("an answer that is put together", () => {
  it("counts against the budget while it is held, and is refused where that is used up", async () => {
    const { stream, other } = await connected();
    const messages: number[] = [];
    const answer = stream.answer((message) => void messages.push(message.length));
    answer.writeHead(200, { "content-type": "application/json" });
    answer.write(Buffer.alloc(20 * megabyte, "x"));
    expect(() => other.resize(50 * megabyte)).toThrow("too many large requests");
    answer.end(Buffer.alloc(megabyte, "x"));
    expect(messages).toEqual([21 * megabyte]);
    other.resize(50 * megabyte);
    const refused = stream.answer((message) => void messages.push(message.length));
    refused.writeHead(200, { "content-type": "application/json" });
    refused.write(Buffer.alloc(20 * megabyte, "x"));
    expect([refused.destroyed, refused.fault?.kind]).toEqual([true, "overloaded"]);
    refused.end();
    expect(messages).toHaveLength(1);
    other.resize(56 * megabyte);
  });

  it("larger than one message may be is refused", async () => {
    const { stream } = await connected();
    const answer = stream.answer(() => {});
    answer.writeHead(200, { "content-type": "text/event-stream" });
    for (let sent = 0; sent < 40; sent++) answer.write(Buffer.alloc(megabyte, "x"));
    expect(answer.fault?.message).toBe("the answer is too large for this transport");
  });
});
