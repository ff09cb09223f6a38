import type { A2aOperation, Dialect } from "@sluice/contracts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answerFor, eventsFor, noticesFor, requestFor, type Sides } from "./index.ts";

const dialects: readonly Dialect[] = [
  { version: "0.1", binding: "JSONRPC" },
  { version: "0.2", binding: "JSONRPC" },
  { version: "0.3", binding: "JSONRPC" },
  { version: "0.3", binding: "HTTP+JSON" },
  { version: "1.0", binding: "JSONRPC" },
  { version: "1.0", binding: "HTTP+JSON" },
];
const operations: readonly A2aOperation[] = [
  "SendMessage",
  "GetTask",
  "SubscribeToTask",
  "ListTaskPushNotificationConfigs",
];
const same = (dialect: Dialect, operation: A2aOperation, more: Partial<Sides> = {}): Sides => ({
  client: dialect,
  upstream: dialect,
  operation,
  ...more,
});
const renames = { tasks: [{ client: "mine", upstream: "its" }], contexts: [{ client: "ours", upstream: "theirs" }] };
const names = { "0.1": { task: "id", context: "sessionId" }, later: { task: "id", context: "contextId" } };

describe("equal dialects", () => {
  test("keep every byte, whatever it is", () => {
    const any = fc.tuple(fc.constantFrom(...dialects), fc.constantFrom(...operations), fc.uint8Array());
    fc.assert(
      fc.property(any, ([dialect, operation, bytes]) => {
        const body = Buffer.from(bytes);
        const sides = same(dialect, operation);
        expect(requestFor(sides, { http: "POST", rest: "", body }).body).toBe(body);
        expect(answerFor(sides, { status: 200, contentType: "x", body }).body).toBe(body);
        expect(eventsFor(sides, body)).toEqual([body]);
        expect(noticesFor(sides, body)).toEqual([body]);
      }),
    );
  });

  test("change nothing but the names that differ, and the other way round all of them", () => {
    const given = fc.tuple(fc.constantFrom(...dialects), fc.dictionary(fc.string(), fc.jsonValue()), fc.boolean());
    fc.assert(
      fc.property(given, ([dialect, unknown, isSpaced]) => {
        const isRpc = dialect.binding === "JSONRPC";
        const { task, context } = names[dialect.version === "0.1" ? "0.1" : "later"];
        const reserved = new Set(["id", "contextid", "sessionid", "taskid", "status", "history", "result", "jsonrpc"]);
        const extra = Object.fromEntries(
          Object.entries(unknown).filter(([name]) => /^[a-z]{0,9}$/.test(name) && !reserved.has(name)),
        );
        const thing = (own: string, other: string) => ({
          a: "its",
          ...extra,
          [task]: own,
          [context]: other,
          metadata: { [task]: "its" },
        });
        const text = (own: string, other: string) =>
          JSON.stringify(
            isRpc ? { jsonrpc: "2.0", id: 1, result: thing(own, other) } : thing(own, other),
            null,
            isSpaced ? 2 : 0,
          );
        const told = answerFor(same(dialect, "GetTask", { renames }), {
          status: 200,
          contentType: "x",
          body: Buffer.from(text("its", "theirs")),
        });
        expect(told.body.toString()).toBe(text("mine", "ours"));
      }),
    );
  });

  test("rename in messages, in references, in paths and in what is pushed", () => {
    const [, , rpc03, rest03, rpc10, rest10] = dialects as [Dialect, Dialect, Dialect, Dialect, Dialect, Dialect];
    const message = '{"taskId":"mine","contextId" : "ours","referenceTaskIds":["x", "mine"],"parts":[{"text":"mine"}]}';
    const asked = (dialect: Dialect, body: string, rest = "", operation: A2aOperation = "SendMessage") =>
      requestFor(same(dialect, operation, { renames }), {
        http: operation === "ListTasks" ? "GET" : "POST",
        rest,
        body: Buffer.from(body),
      });
    const renamed = '{"taskId":"its","contextId" : "theirs","referenceTaskIds":["x", "its"],"parts":[{"text":"mine"}]}';
    const rpc = (inner: string) => `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":${inner}}}`;
    expect(asked(rpc10, rpc(message)).body.toString()).toBe(rpc(renamed));
    expect(asked(rest10, `{"message":${message}}`, "/message:send").body.toString()).toBe(`{"message":${renamed}}`);
    expect(asked(rest03, "{}", "/v1/tasks/mine:cancel", "CancelTask").rest).toBe("/v1/tasks/its:cancel");
    expect(asked(rest10, "", "/tasks?contextId=ours&pageSize=2", "ListTasks").rest).toBe(
      "/tasks?contextId=theirs&pageSize=2",
    );
    const create = asked(
      rest03,
      '{"parent":"tasks/mine","config":{"name":"tasks/mine/pushNotificationConfigs/1"}}',
      "/v1/tasks/mine/pushNotificationConfigs",
      "CreateTaskPushNotificationConfig",
    );
    expect(create).toMatchObject({ rest: "/v1/tasks/its/pushNotificationConfigs" });
    expect(create.body.toString()).toBe(
      '{"parent":"tasks/its","config":{"name":"tasks/its/pushNotificationConfigs/1"}}',
    );
    const notice = noticesFor(
      same(rpc03, "SendMessage", { renames }),
      Buffer.from('{"kind":"task","id":"its","contextId":"theirs"}'),
    );
    expect(notice.map(String)).toEqual(['{"kind":"task","id":"mine","contextId":"ours"}']);
  });

  test("tell each reader of a stream its own JSON-RPC id", () => {
    const data = Buffer.from('{ "id": 7, "jsonrpc":"2.0","result":{"task":{"id":"t"}}}');
    const sides = same({ version: "1.0", binding: "JSONRPC" }, "SubscribeToTask", { rpcId: '"mine"' });
    expect(eventsFor(sides, data).map(String)).toEqual([
      '{ "id": "mine", "jsonrpc":"2.0","result":{"task":{"id":"t"}}}',
    ]);
  });
});
