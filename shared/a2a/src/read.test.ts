import { Fault, maxReferences } from "@sluice/contracts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readRequest, UnreadRequest } from "./index.ts";

const rpc = (method: string, params?: unknown, version?: string) =>
  readRequest({
    http: "POST",
    rest: "",
    body: Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: "r-1", method, params })),
    ...(version !== undefined && { version }),
  });
const raw = (body: string, version?: string) =>
  readRequest({ http: "POST", rest: "", body: Buffer.from(body), ...(version !== undefined && { version }) });
const rest = (http: "GET" | "POST" | "DELETE", path: string, body = "", version?: string) =>
  readRequest({ http, rest: path, body: Buffer.from(body), ...(version !== undefined && { version }) });
const refusal = async (asked: Promise<unknown>) => {
  const thrown: unknown = await asked.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(UnreadRequest);
  const { kind, dialect, rpcId } = thrown as UnreadRequest;
  return { kind, dialect: `${dialect.version} ${dialect.binding}`, rpcId };
};
const message = { messageId: "m", role: "user", parts: [{ kind: "text", text: "hi" }] };

describe("the dialect of a JSON-RPC call", () => {
  test.each([
    ["SendMessage", "1.0", "SendMessage"],
    ["message/send", "0.3", "SendMessage"],
    ["message/stream", "0.3", "SendStreamingMessage"],
    ["tasks/send", "0.1", "SendMessage"],
    ["tasks/sendSubscribe", "0.1", "SendStreamingMessage"],
  ])("%s is one of %s", async (method, version, operation) => {
    const read = await rpc(method, { id: "t", message });
    expect(read).toMatchObject({ dialect: { version, binding: "JSONRPC" }, operation, rpcId: '"r-1"' });
  });

  test("a method that several revisions have is 0.3, unless a session or the header says otherwise", async () => {
    expect((await rpc("tasks/get", { id: "t" })).dialect.version).toBe("0.3");
    expect((await rpc("tasks/get", { id: "t", sessionId: "s" })).dialect.version).toBe("0.1");
    expect((await rpc("tasks/get", { id: "t" }, "0.1")).dialect.version).toBe("0.1");
    expect((await rpc("tasks/get", { id: "t" }, "0.2.6")).dialect.version).toBe("0.2");
    expect((await rpc("tasks/get", { id: "t" }, "")).dialect.version).toBe("0.3");
  });

  test("digits of a patch do not count, and an unknown revision is refused with the known ones", async () => {
    expect((await rpc("GetTask", { id: "t" }, "1.0.1")).dialect.version).toBe("1.0");
    expect((await rpc("GetTask", { id: "t" })).dialect.version).toBe("1.0");
    expect(await refusal(rpc("GetTask", { id: "t" }, "0.5"))).toEqual({
      kind: "version_not_supported",
      dialect: "1.0 JSONRPC",
      rpcId: '"r-1"',
    });
    expect((await refusal(rpc("GetTask", { id: "t" }, "0.3"))).kind).toBe("version_not_supported");
    expect((await refusal(rpc("message/send", { message }, "1.0"))).kind).toBe("method_not_found");
    expect((await refusal(rpc("tasks/fetch", {}))).kind).toBe("method_not_found");
  });
});

describe("what a call names", () => {
  test("a message names its task, context and references", async () => {
    const asked = { ...message, taskId: "t", contextId: "c", referenceTaskIds: ["a", "b"] };
    const read = await rpc("SendMessage", { message: asked });
    expect(read.named).toEqual({ task: "t", context: "c", references: ["a", "b"] });
    expect(read).toMatchObject({ messageKind: "text", hasWebhook: false });
  });

  test("a client of 0.1 chooses its task's id", async () => {
    const read = await rpc("tasks/send", {
      id: "t",
      sessionId: "s",
      message: { role: "user", parts: [{ type: "data", data: {} }] },
    });
    expect(read.named).toEqual({ task: "t", context: "s", mayBeNew: true });
    expect(read.messageKind).toBe("data");
  });

  test("a push configuration is named by each revision's member", async () => {
    const one = await rpc("GetTaskPushNotificationConfig", { taskId: "t", id: "c" });
    const other = await rpc("tasks/pushNotificationConfig/get", { id: "t", pushNotificationConfigId: "c" });
    expect([one.named, other.named]).toEqual([
      { task: "t", pushConfig: "c" },
      { task: "t", pushConfig: "c" },
    ]);
    const set = await rpc("tasks/pushNotificationConfig/set", {
      taskId: "t",
      pushNotificationConfig: { id: "c", url: "u" },
    });
    expect(set).toMatchObject({ named: { task: "t" }, hasWebhook: true });
  });

  test("a webhook inside of a message is told", async () => {
    const webhook = { url: "https://example.org" };
    const asked = [
      rpc("SendMessage", { message, configuration: { taskPushNotificationConfig: webhook } }),
      rpc("message/send", { message, configuration: { pushNotificationConfig: webhook } }),
      rpc("tasks/send", { id: "t", message, pushNotification: webhook }),
      rest("POST", "/v1/message:send", JSON.stringify({ message, configuration: { pushNotification: webhook } })),
    ];
    expect((await Promise.all(asked)).map((read) => read.hasWebhook)).toEqual([true, true, true, true]);
  });

  test.each([
    ["too long", "message/send", { message: { ...message, taskId: "x".repeat(257) } }],
    ["a number", "message/send", { message: { ...message, contextId: 7 } }],
    ["missing", "tasks/get", {}],
    ["empty where it is needed", "GetTask", { id: "" }],
    ["too many", "SendMessage", { message: { referenceTaskIds: Array(maxReferences + 1).fill("t") } }],
    ["under another spelling", "message/send", { message: { ...message, task_id: "t" } }],
    [
      "of another task in the webhook",
      "SendMessage",
      { message: { taskId: "t" }, configuration: { taskPushNotificationConfig: { taskId: "u" } } },
    ],
  ])("an id that is %s is refused", async (_what, method, params) => {
    expect((await refusal(rpc(method, params))).kind).toBe("invalid_params");
  });
});

describe("a REST call", () => {
  test.each([
    ["GET", "/tasks/7", "1.0", "GetTask", { task: "7" }],
    ["GET", "/v1/tasks/7?historyLength=2", "0.3", "GetTask", { task: "7" }],
    ["POST", "/tasks/a%2Fb:cancel", "1.0", "CancelTask", { task: "a/b" }],
    ["GET", "/tasks/7:subscribe", "1.0", "SubscribeToTask", { task: "7" }],
    ["POST", "/v1/tasks/7:subscribe", "0.3", "SubscribeToTask", { task: "7" }],
    ["GET", "/tasks?contextId=c", "1.0", "ListTasks", { context: "c" }],
    [
      "DELETE",
      "/tasks/7/pushNotificationConfigs/8",
      "1.0",
      "DeleteTaskPushNotificationConfig",
      { task: "7", pushConfig: "8" },
    ],
    ["GET", "/acme/tasks/7", "1.0", "GetTask", { task: "7" }],
    ["GET", "/v1/card", "0.3", "GetExtendedAgentCard", {}],
  ] as const)("%s %s", async (http, path, version, operation, named) => {
    const read = await rest(http, path);
    expect(read).toMatchObject({ dialect: { version, binding: "HTTP+JSON" }, operation, named });
  });

  test.each([
    ["GET", "/tasks/7?id=8", "", "invalid_params"],
    ["GET", "/v1/tasks/7?name=tasks/8", "", "invalid_params"],
    ["POST", "/tasks/7:cancel", '{"id":"8"}', "invalid_params"],
    ["POST", "/v1/tasks/7/pushNotificationConfigs", '{"parent":"tasks/77","config":{}}', "invalid_params"],
    ["POST", "/v1/tasks/7/pushNotificationConfigs", '{"parent":"x","config":{}}', "invalid_params"],
    ["GET", "/tasks/%2e%2e", "", "invalid_params"],
    ["GET", "/tasks/x%2F..%2F..", "", "invalid_params"],
    ["GET", "/tasks/..%5Cx", "", "invalid_params"],
    ["GET", "/tasks/x%2F..%3By%2Fz", "", "invalid_params"],
    ["GET", "/tasks/x%00", "", "invalid_params"],
    ["GET", "/..%2Ftwo/tasks/7", "", "invalid_params"],
    ["GET", "/%2e%2e%5Ctwo/tasks/7", "", "invalid_params"],
    ["GET", "/x%2Fy/tasks/7", "", "invalid_params"],
    ["GET", "/%252e%252e%252ftwo/tasks/7", "", "invalid_params"],
    ["POST", "/one/message:send", `{"message":{},"tenant":"two"}`, "invalid_params"],
    ["GET", "/one/tasks/7?tenant=two", "", "invalid_params"],
    ["GET", "/tasks/%zz", "", "invalid_params"],
    ["POST", "/message:send", "", "invalid_params"],
    ["POST", "/tasks/7", "", "method_not_allowed"],
    ["GET", "/nothing/of/this", "", "not_found"],
  ] as const)("%s %s %s is refused as %s", async (http, path, body, kind) => {
    expect((await refusal(rest(http, path, body))).kind).toBe(kind);
  });
});

describe("hostile bodies", () => {
  test.each([
    ["a name twice", '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a","id":"b"}}', "parse_error"],
    ["another case", '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a","ID":"b"}}', "parse_error"],
    [
      "an escaped name twice",
      '{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a","\\u0069d":"b"}}',
      "parse_error",
    ],
    ["a batch", '[{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a"}}]', "invalid_request"],
    ["no JSON", "{", "parse_error"],
    [
      "depth",
      `{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a","x":${"[".repeat(500)}${"]".repeat(500)}}}`,
      "parse_error",
    ],
    ["an id that is an object", '{"jsonrpc":"2.0","id":{},"method":"GetTask","params":{"id":"a"}}', "invalid_request"],
  ])("%s is refused", async (_what, body, kind) => {
    expect((await refusal(raw(body))).kind).toBe(kind);
  });

  test("whatever comes, only faults are thrown", async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), fc.constantFrom("", "/tasks/7:cancel", "/v1/message:send"), async (body, path) => {
        const thrown: unknown = await readRequest({ http: "POST", rest: path, body: Buffer.from(body) }).catch(
          (error: unknown) => error,
        );
        expect(thrown instanceof Error ? thrown instanceof Fault : true).toBe(true);
      }),
    );
  });
});
