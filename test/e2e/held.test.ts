import { once } from "node:events";
import { request, type ClientRequest, type ServerResponse } from "node:http";
import { answerEcho, FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { as } from "./http.ts";
import { call, legacyHeaders, listen, send } from "./wire.ts";

const megabyte = 1024 * 1024;
let upstream: FakeUpstream;
let house: TestHouse;
const streams = new Map<string, ServerResponse>();
const stack = new AsyncDisposableStack();
const tenant = (agents: string[]) => ({
  agents,
  mcp: { endpoints: [{ name: "main", url: upstream.url }] },
  accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
});

beforeAll(async () => {
  upstream = stack.use(
    await FakeUpstream.start((received, response) => {
      const name = String(received.message?.params?.["name"]);
      if (!name.startsWith("stream-")) return answerEcho(received, response);
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      streams.set(name, response);
    }),
  );
  house = stack.use(
    await startTestHouse({
      tenants: { acme: tenant(["a-1", "a-2"]), beta: tenant(["b-1"]) },
      env: { MAX_HELD_BODY_BYTES: String(64 * megabyte) },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const url = () => `${house.house.url}/mcp`;
const callOf = (name: string, bytes = 1) => call(1, name, { x: "y".repeat(bytes) });
const beta = async (bytes: number) =>
  (await send({ url: url(), key: house.key("b-1", "beta"), headers: legacyHeaders, body: callOf("echo", bytes) }))
    .status;

/** A request whose body never ends; `refused` once it is answered all the same. */
async function unfinished(bytes: number): Promise<{ outgoing: ClientRequest; refused: boolean }> {
  const headers = { ...as(house.key("a-1")), "content-length": String(bytes + 1) };
  const outgoing = request(url(), { method: "POST", headers });
  const held = { outgoing, refused: false };
  outgoing.on("error", () => {});
  outgoing.once("response", (response) => {
    held.refused = true;
    response.resume();
  });
  const written = Promise.withResolvers<void>();
  outgoing.once("close", written.resolve);
  outgoing.write(Buffer.alloc(bytes, " "), () => written.resolve());
  await written.promise;
  return held;
}

describe("what one agent has sent and not finished", () => {
  it("refuses the calls of nobody else, small or large", async () => {
    const all: ClientRequest[] = [];
    for (const bytes of [31 * megabyte, 31 * megabyte, megabyte, 128 * 1024, 32 * 1024, 2_048, 128]) {
      for (let count = 0; count < 40; count++) {
        const { outgoing, refused } = await unfinished(bytes);
        all.push(outgoing);
        if (refused) break;
      }
    }
    for (const bytes of [1, 100_000, 5 * megabyte]) expect(await beta(bytes)).toBe(200);
    for (const outgoing of all) outgoing.destroy();
  }, 60_000);
});

describe("a body that an upstream has", () => {
  it("is held no longer, however long the answer streams", async () => {
    const tools = ["stream-1", "stream-2", "stream-3"];
    const readers = [];
    for (const tool of tools) {
      const body = callOf(tool, 21 * megabyte);
      readers.push(await listen({ url: url(), key: house.key("a-1"), headers: legacyHeaders, body }));
    }
    expect(await beta(30 * megabyte)).toBe(200);
    for (const tool of tools) streams.get(tool)?.end();
    for (const reader of readers) reader.leave();
  }, 60_000);
});

describe("a key that is withdrawn", () => {
  it("carries out nothing more, also where the body was still arriving", async () => {
    const key = house.key("a-2");
    const outgoing = request(url(), { method: "POST", headers: { ...as(key), "transfer-encoding": "chunked" } });
    const answered = once(outgoing, "response");
    const body = JSON.stringify(call(1, "withdrawn"));
    outgoing.write(body.slice(0, 20));
    await house.configure({ acme: tenant(["a-1"]), beta: tenant(["b-1"]) });
    await until("the key is refused", async () => {
      const { status } = await send({ url: url(), key, headers: legacyHeaders, body: callOf("echo") });
      return status === 401;
    });
    outgoing.end(body.slice(20));
    const [{ statusCode }] = (await answered) as [{ statusCode: number }];
    expect(statusCode).toBe(401);
    expect(upstream.requests.some(({ message }) => message?.params?.["name"] === "withdrawn")).toBe(false);
  });
});
