import { FakeUpstream, startTestHouse, until, type TestHouse, type UpstreamHandler } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { call, legacyHeaders, listen, open, send, type Sent } from "./wire.ts";
let upstream: FakeUpstream;
let house: TestHouse;
const stack = new AsyncDisposableStack();
const MiB = 1024 * 1024;
beforeAll(async () => {
  upstream = stack.use(await FakeUpstream.start());
  const tenant = (agents: string[]) => ({ agents, mcp: { endpoints: [{ name: "main", url: upstream.url }] }, accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["secret-*"] }] });
  house = stack.use(await startTestHouse({ tenants: { acme: tenant(["a-1", "a-2", "a-3"]), beta: tenant(["b-1"]) }, env: { EGRESS_CONNECTIONS_PER_UPSTREAM: "4", EGRESS_MAX_CALLS_PER_AGENT: "3" } }));
}, 60_000);
afterAll(() => stack.disposeAsync());
const to = (body: unknown, agent = "a-1", tenant = "acme"): Sent => ({ url: `${house.house.url}/mcp`, key: house.key(agent, tenant), headers: legacyHeaders, body });
it.each(["POST", "GET"])("flood %s", async (method) => {
  const gone = Promise.withResolvers<number>();
  let left = 0, sent = 0;
  upstream.handler = async (_r, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.once("close", () => gone.resolve(sent - left));
    while (!response.destroyed) {
      const event = `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${"x".repeat(60_000)}"}}\n\n`;
      sent += event.length;
      await new Promise((resolve) => response.write(event, resolve));
    }
  };
  const { body: _b, ...get } = to(undefined);
  const reader = await listen(method === "POST" ? to(call(1, "flood")) : { ...get, method: "GET" });
  await reader.count(1);
  left = sent;
  const began = Date.now();
  reader.leave();
  console.log(method, "sent after leaving MiB", (await gone.promise) / MiB, "ms", Date.now() - began);
}, 60_000);
it("empty names", async () => {
  const body = `{"jsonrpc":"2.0","id":1,"result":{"tools":[${Array.from({ length: 400_000 }, () => "{}").join(",")},{"name":"open-a"}]}}`;
  upstream.handler = (_r, response) => void response.writeHead(200, { "content-type": "application/json" }).end(body);
  const began = Date.now();
  const answer = await send(to({ jsonrpc: "2.0", id: 1, method: "tools/list" }));
  console.log("empty names", answer.status, answer.body.toString().slice(0, 200), Date.now() - began);
});
it("queue", async () => {
  let at = 0;
  upstream.handler = () => void at++;
  const hanging = ["a-1", "a-2"].flatMap((agent) => [1, 2, 3].map((id) => open(to(call(id, "hangs"), agent))));
  for (const request of hanging) request.on("error", () => {});
  await until("4", () => at === 4);
  const answer = await Promise.race([send(to(call(9, "waits"), "a-3")).then((a) => `${a.status} ${a.body}`), new Promise((r) => setTimeout(() => r("still waiting after 5 s"), 5000))]);
  console.log("third agent:", answer);
  upstream.handler = (_r, response) => void response.writeHead(200, { "content-type": "application/json" }).end(`{"jsonrpc":"2.0","id":1,"result":{}}`);
  console.log("other tenant:", (await send(to(call(1, "x"), "b-1", "beta"))).status);
  hanging.forEach((r) => r.destroy());
}, 60_000);
