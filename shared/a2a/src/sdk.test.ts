import { AgentCard, Message, Role, Task, TaskState } from "@a2a-js/sdk";
import { JsonRpcTransportFactory as Client10, RestTransportFactory as RestClient10 } from "@a2a-js/sdk/client";
import {
  AgentEvent,
  DefaultRequestHandler,
  InMemoryTaskStore,
  JsonRpcTransportHandler,
  ServerCallContext,
  type AgentExecutor,
} from "@a2a-js/sdk/server";
import { JsonRpcTransportFactory as Client03, RestTransportFactory as RestClient03 } from "a2a-sdk-0.3/client";
import type { Dialect } from "@sluice/contracts";
import { describe, expect, test } from "vitest";
import { answerFor, eventsFor, faultAnswer, readRequest, requestFor, UnreadRequest, type Sides } from "./index.ts";

/** The official clients on one side, the official server's handler of 1.0 on the other, and nothing between but translation. */

const upstream: Dialect = { version: "1.0", binding: "JSONRPC" };
const card = AgentCard.fromJSON({
  name: "x",
  version: "1",
  capabilities: { streaming: true },
  supportedInterfaces: [{ url: "http://agent/", protocolBinding: "JSONRPC", protocolVersion: "1.0" }],
});
const executor: AgentExecutor = {
  execute({ taskId, contextId, userMessage }, bus) {
    const { parts } = userMessage;
    if (parts[0]?.content?.$case === "text" && parts[0].content.value === "message") {
      const message = Message.fromJSON({ messageId: "m", contextId, role: "ROLE_AGENT", parts: [{ text: "hi" }] });
      bus.publish(AgentEvent.message(message));
    } else {
      const artifacts = [{ artifactId: "a", parts: (Message.toJSON(userMessage) as { parts: unknown[] }).parts }];
      bus.publish(
        AgentEvent.task(Task.fromJSON({ id: taskId, contextId, status: { state: "TASK_STATE_WORKING" }, artifacts })),
      );
      const status = { state: TaskState.TASK_STATE_CANCELED, message: undefined, timestamp: undefined };
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status, metadata: undefined }));
    }
    bus.finished();
    return Promise.resolve();
  },
  cancelTask: () => Promise.resolve(),
};

/** What a client of any dialect reaches by HTTP, as long as nothing but its requests is asked for. */
function bridge(): typeof fetch {
  const agent = new JsonRpcTransportHandler(new DefaultRequestHandler(card, new InMemoryTaskStore(), executor));
  return async (input, init) => {
    const { pathname, search } = new URL(String(input));
    const rest = pathname.startsWith("/rest") ? `${pathname.slice("/rest".length)}${search}` : "";
    const version = new Headers(init?.headers).get("a2a-version");
    const body = Buffer.from(typeof init?.body === "string" ? init.body : "");
    const http = (init?.method ?? "GET") as "GET" | "POST";
    try {
      const read = await readRequest({ http, rest, body, ...(version !== null && { version }) });
      const { dialect: client, operation, rpcId, named } = read;
      const sides: Sides = { client, upstream, operation, named, ...(rpcId !== undefined && { rpcId }) };
      const asked = JSON.parse(requestFor(sides, { http, rest, body }).body.toString()) as Record<string, unknown>;
      const answer = await agent.handle(asked, new ServerCallContext({ requestedVersion: "1.0" }));
      if (!(Symbol.asyncIterator in answer)) {
        const told = answerFor(sides, { status: 200, contentType: "application/json", body: bytes(answer) });
        return new Response(new Uint8Array(told.body), {
          status: told.status,
          headers: { "content-type": told.contentType },
        });
      }
      const events: string[] = [];
      for await (const event of answer)
        for (const told of eventsFor(sides, bytes(event))) events.push(`data: ${told.toString()}\n\n`);
      return new Response(events.join(""), { headers: { "content-type": "text/event-stream" } });
    } catch (thrown) {
      if (!(thrown instanceof UnreadRequest)) throw thrown;
      const told = faultAnswer(thrown.dialect, thrown, thrown.rpcId);
      return new Response(new Uint8Array(told.body), {
        status: told.status,
        headers: { "content-type": told.contentType },
      });
    }
  };
}

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const collect = async <T>(events: AsyncIterable<T>) => {
  const seen: T[] = [];
  for await (const event of events) seen.push(event);
  return seen;
};

describe.each([
  ["JSON-RPC", new Client03({ fetchImpl: bridge() }), "http://gateway/rpc"],
  ["REST", new RestClient03({ fetchImpl: bridge() }), "http://gateway/rest"],
] as const)("the client of 0.3 over %s and the server of 1.0", (_name, factory, url) => {
  const connect = () => factory.create(url, { name: "x" } as never);
  const say = (...parts: object[]) => ({
    message: { kind: "message" as const, messageId: "u", role: "user" as const, parts: parts as never },
  });

  test("understand each other about tasks", async () => {
    const client = await connect();
    const parts = [
      { kind: "text", text: "hello" },
      { kind: "file", file: { uri: "https://f", mimeType: "a/b" } },
      { kind: "data", data: { n: 1 } },
    ];
    const task = await client.sendMessage(say(...parts));
    expect(task).toMatchObject({
      kind: "task",
      status: { state: "canceled" },
      artifacts: [{ artifactId: "a", parts }],
    });
    const again = await client.getTask({ id: (task as { id: string }).id });
    expect(again).toMatchObject({ kind: "task", status: { state: "canceled" } });
    await expect(client.getTask({ id: "nobody-has-it" })).rejects.toMatchObject({
      message: expect.stringMatching(/not found/i),
    });
  });

  test("understand each other about messages and streams", async () => {
    const client = await connect();
    const message = await client.sendMessage(say({ kind: "text", text: "message" }));
    expect(message).toMatchObject({ kind: "message", role: "agent", parts: [{ kind: "text", text: "hi" }] });
    const events = await collect(client.sendMessageStream(say({ kind: "text", text: "hello" })));
    expect(events).toMatchObject([
      { kind: "task", status: { state: "working" } },
      { kind: "status-update", status: { state: "canceled" }, final: true },
    ]);
  });
});

describe.each([
  ["JSON-RPC", new Client10({ fetchImpl: bridge() }), "http://gateway/rpc"],
  ["REST", new RestClient10({ fetchImpl: bridge() }), "http://gateway/rest"],
] as const)("the client of 1.0 over %s and the server of 1.0", (_name, factory, url) => {
  test("understand each other", async () => {
    const client = await factory.create(url, card);
    const message = Message.fromJSON({ messageId: "u", role: Role.ROLE_USER, parts: [{ text: "hello" }] });
    const asked = { tenant: "", message, configuration: undefined, metadata: undefined };
    const events = await collect(client.sendMessageStream(asked));
    expect(events.map(({ payload }) => payload?.$case)).toEqual(["task", "statusUpdate"]);
    const gone = client.getTask({ tenant: "", id: "nobody-has-it", historyLength: undefined });
    await expect(gone).rejects.toMatchObject({ name: expect.stringContaining("TaskNotFound") });
  });
});
