import type { ServerResponse } from "node:http";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerOf, call, eventStreamOf, legacyHeaders, listen, open, type Sent } from "./wire.ts";

const mib = 1024 * 1024;
const floodBytes = 160 * mib;
const event = eventStreamOf([
  { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "x".repeat(100_000) } },
]);
const events = Math.ceil(floodBytes / event.length);

let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();
const streams = new Map<string, ServerResponse>();
/** Bytes that the upstream could send, by tool. */
const sent = new Map<string, number>();

beforeAll(async () => {
  upstream = stack.use(
    await FakeUpstream.start(async ({ message }, response) => {
      const tool = String(message?.params?.["name"]);
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      streams.set(tool, response);
      if (!tool.startsWith("flood")) return;
      for (let count = 0; count < events && !response.destroyed; count++) {
        const drained = response.write(event);
        sent.set(tool, (sent.get(tool) ?? 0) + event.length);
        if (drained) continue;
        await new Promise<void>((resolve) => {
          const goOn = () => {
            response.off("drain", goOn).off("close", goOn);
            resolve();
          };
          response.on("drain", goOn).on("close", goOn);
        });
      }
      response.end(eventStreamOf([{ jsonrpc: "2.0", id: message?.id, result: {} }]));
    }),
  );
  const tenant = (agent: string) => ({
    agents: [agent],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
  });
  house = stack.use(await startTestHouse({ tenants: { acme: tenant("a-1"), beta: tenant("b-1") } }));
});
afterAll(() => stack.disposeAsync());

const calling = (tool: string, agent: string, tenant: string): Sent => ({
  url: `${house.house.url}/mcp`,
  key: house.key(agent, tenant),
  headers: legacyHeaders,
  body: call(`id-${tool}`, tool),
});
const note = (number: number) =>
  eventStreamOf([{ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: number } }]);

/** An answer of the tenant acme that its client has left after ten events. */
async function leftAnswer(tool: string) {
  const reader = await listen(calling(tool, "a-1", "acme"));
  const stream = await until(`a call of ${tool}`, () => streams.get(tool));
  for (let number = 1; number <= 10; number++) stream.write(note(number));
  await reader.count(10);
  reader.leave();
  return { stream, lastEventId: reader.events[2]?.id ?? "none" };
}

async function resumed({ stream, lastEventId }: Awaited<ReturnType<typeof leftAnswer>>) {
  const { key, url } = calling("", "a-1", "acme");
  const reader = await listen({ url, key, method: "GET", headers: { ...legacyHeaders, "last-event-id": lastEventId } });
  stream.end(eventStreamOf([{ jsonrpc: "2.0", id: 1, result: {} }]));
  await reader.count(8);
  reader.leave();
  return reader.messages.map(({ params }) => params?.["data"]);
}

describe("a flood of events", () => {
  it("waits at the upstream while its client reads nothing, and comes whole when it does", async () => {
    const kept = await leftAnswer("kept-1");
    const answer = await answerOf(open(calling("flood-unread", "b-1", "beta")));
    answer.pause();
    let before = 0;
    let unchanged = 0;
    await until("the upstream to wait", () => {
      const now = sent.get("flood-unread") ?? 0;
      unchanged = now === before && now > 0 ? unchanged + 1 : 0;
      before = now;
      return unchanged === 40;
    });
    expect(before).toBeLessThan(64 * mib);
    expect(await resumed(kept)).toEqual([4, 5, 6, 7, 8, 9, 10, undefined]);
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(events * event.length);
  });

  it("takes nothing from what is kept for another tenant, however fast its client reads", async () => {
    const kept = await leftAnswer("kept-2");
    const answer = await answerOf(open(calling("flood-read", "b-1", "beta")));
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(events * event.length);
    expect(await resumed(kept)).toEqual([4, 5, 6, 7, 8, 9, 10, undefined]);
  });
});
