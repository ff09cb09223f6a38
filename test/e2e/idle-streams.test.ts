import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventStreamOf, legacyHeaders, listen, type EventReader } from "./wire.ts";

const stack = new AsyncDisposableStack();
let house: TestHouse;

beforeAll(async () => {
  const upstream = stack.use(
    await FakeUpstream.start(({ url }, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      if (url !== "/busy") return;
      const event = eventStreamOf([
        { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: 1 } },
      ]);
      const timer = setInterval(() => response.write(event), 100);
      response.once("close", () => clearInterval(timer));
    }),
  );
  const endpoint = (name: string, more: object) => ({
    name,
    url: upstream.url.replace("/mcp", `/${name}`),
    era: "legacy",
    ...more,
  });
  house = stack.use(
    await startTestHouse({
      tenants: {
        acme: {
          agents: ["a-1"],
          mcp: {
            endpoints: [
              endpoint("quiet", { idleTimeoutMs: 1_000 }),
              endpoint("busy", { idleTimeoutMs: 1_000 }),
              endpoint("patient", { responseTimeoutMs: 1_000 }),
            ],
          },
        },
      },
    }),
  );
});
afterAll(() => stack.disposeAsync());

const open = (name: string): Promise<EventReader> =>
  listen({ url: `${house.house.url}/mcp/${name}`, key: house.key("a-1"), method: "GET", headers: legacyHeaders });

it("P10: a stream of a server's own messages ends after the endpoint's idle time, and only when it is silent for that long; without one it does not end", async () => {
  const [quiet, busy, patient] = [await open("quiet"), await open("busy"), await open("patient")];
  await quiet.finished();
  const heard = busy.messages.length;
  await busy.count(heard + 20);
  expect([busy.ended, patient.ended]).toEqual([undefined, undefined]);
  const rows = await until("the outcome", async () => {
    const found = await house.query("select fault from audit_calls where server = 'quiet' and state = 'done'");
    return found.length > 0 ? found : undefined;
  });
  expect(rows).toEqual([{ fault: "upstream_timeout" }]);
  for (const reader of [busy, patient]) reader.leave();
});
