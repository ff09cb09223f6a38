import type { ServerResponse } from "node:http";
import { startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";
import { answers, notes, range, ScriptedStreams } from "./scripted-streams.ts";
import { call, eventStreamOf, legacyHeaders, listen, type EventReader } from "./wire.ts";

/** An upstream with everything that can stay open at it: streamed answers, and streams of its own messages (GET). */
interface Server {
  readonly name: string;
  readonly streams: ScriptedStreams;
  readonly listeners: ServerResponse[];
}

const stack = new AsyncDisposableStack();
let kept: Server;
let gone: Server;
let house: TestHouse;

beforeAll(async () => {
  [kept, gone] = [await startServer("kept"), await startServer("gone")];
  house = stack.use(
    await startTestHouse({
      tenants: tenants(),
      replicas: { ingress: 2, egress: 2, policy: 2, "rate-limit": 2, "session-manager": 2, audit: 2, control: 2 },
    }),
  );
});
afterAll(() => stack.disposeAsync());

async function startServer(name: string): Promise<Server> {
  const streams = stack.use(await ScriptedStreams.start());
  const listeners: ServerResponse[] = [];
  const { handler } = streams.upstream;
  streams.upstream.handler = (request, response) => {
    if (request.method !== "GET") return handler(request, response);
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    listeners.push(response);
  };
  return { name, streams, listeners };
}

function tenants({ servers = [kept, gone], settings = {}, more = {} } = {}) {
  const endpoints = servers.map(({ name, streams }) => ({ name, url: streams.upstream.url, era: "legacy" }));
  const accessRules = [{ agentPattern: "*", allowedTools: ["*"] }];
  return { acme: { agents: ["a-1"], settings, mcp: { endpoints }, accessRules, ...more } };
}

const ingresses = () => house.house.of("ingress");

/** Waits until every replica that decides about calls has the configuration of this version. */
async function everywhere(version: number): Promise<void> {
  for (const { health } of [...ingresses(), ...house.house.of("policy")])
    await until("every replica to have the edit", async () => {
      const told = (await (await fetch(`${health}/health`)).json()) as Record<string, unknown>;
      return (told["tenants_version"] ?? told["rules_version"]) === version;
    });
}

/** A streamed answer through each replica of ingress, and a stream of the server's own messages. */
async function openAt({ name, streams, listeners }: Server, run: string) {
  const calls: EventReader[] = [];
  const tools = ingresses().map((_, index) => `${run}-${name}-${index}`);
  const [first = ""] = ingresses().map(({ url }) => url);
  const before = listeners.length;
  const key = house.key("a-1");
  for (const [index, { url }] of ingresses().entries()) {
    const body = call(index, tools[index] ?? "");
    calls.push(await listen({ url: `${url}/mcp/${name}`, key, headers: legacyHeaders, body }));
  }
  const listening = await listen({ url: `${first}/mcp/${name}`, key, method: "GET", headers: legacyHeaders });
  const own = await until("the stream at the server", () => listeners[before]);
  const answered = await Promise.all(tools.map((tool) => streams.of(tool)));
  return {
    calls,
    listening,
    readers: [...calls, listening],
    say: (number: number) => {
      for (const stream of answered) stream.note(number);
      own.write(
        eventStreamOf([{ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: number } }]),
      );
    },
    answer: () => {
      for (const stream of answered) stream.answer();
    },
  };
}

const heard = async (readers: readonly EventReader[], upTo: number) => {
  for (const reader of readers) {
    await reader.count(upTo);
    expect(notes(reader)).toEqual(range(1, upTo));
    expect(reader.ended).toBeUndefined();
  }
};

it("P4: an edit reaches every replica; streams of what stays go on without a gap, those of what it removes end, and only those", async () => {
  const [stays, goes] = [await openAt(kept, "one"), await openAt(gone, "one")];
  for (const open of [stays, goes]) open.say(1);
  await heard([...stays.readers, ...goes.readers], 1);

  const otherRules = { more: { accessRules: [{ agentPattern: "a-*", allowedTools: ["*"] }], limits: [] } };
  await house.configure({ ...tenants(otherRules), other: { ...tenants().acme, agents: ["b-1"] } });
  await everywhere(2);
  for (const open of [stays, goes]) open.say(2);
  await heard([...stays.readers, ...goes.readers], 2);

  await house.configure(tenants({ servers: [kept] }));
  await everywhere(3);
  for (const reader of goes.readers) await reader.finished();
  stays.say(3);
  await heard(stays.readers, 3);
  stays.answer();
  for (const reader of stays.calls) {
    expect(await reader.finished()).toBe("end");
    expect(answers(reader)).toHaveLength(1);
  }
  expect(stays.listening.ended).toBeUndefined();
  stays.listening.leave();
});

it("P4: switching a tenant's MCP off ends its streams, and calls get 403 until it is on again", async () => {
  const open = await openAt(kept, "two");
  open.say(1);
  await heard(open.readers, 1);
  const post = () => send(`${ingresses()[1]?.url}/mcp/kept`, { headers: as(house.key("a-1")), body: toolCall("off") });
  await house.configure(tenants({ servers: [kept], settings: { mcp_enabled: false } }));
  for (const reader of open.readers) await reader.finished();
  const refused = await until("the refusal", async () => {
    const answer = await post();
    return answer.status === 403 ? answer : undefined;
  });
  expect(JSON.parse(refused.text)).toMatchObject({ error: { data: { error: "protocol_disabled" } } });
  await house.configure(tenants({ servers: [kept] }));
  await everywhere(5);
  const again = await openAt(kept, "three");
  again.say(1);
  await heard(again.readers, 1);
  for (const reader of again.readers) reader.leave();
});
