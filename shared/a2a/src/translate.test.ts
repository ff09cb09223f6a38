import type { A2aOperation, Dialect } from "@sluice/contracts";
import { describe, expect, test } from "vitest";
import { answerFor, eventsFor, requestFor, StreamMemory, type Sides, type WireAnswer } from "./index.ts";

const rpc10: Dialect = { version: "1.0", binding: "JSONRPC" };
const rpc03: Dialect = { version: "0.3", binding: "JSONRPC" };
const rpc02: Dialect = { version: "0.2", binding: "JSONRPC" };
const rpc01: Dialect = { version: "0.1", binding: "JSONRPC" };
const rest10: Dialect = { version: "1.0", binding: "HTTP+JSON" };
const rest03: Dialect = { version: "0.3", binding: "HTTP+JSON" };

type More = Partial<Sides>;
const sides = (client: Dialect, upstream: Dialect, operation: A2aOperation, more: More = {}): Sides => ({
  client,
  upstream,
  operation,
  rpcId: '"r"',
  ...more,
});
const request = (given: Sides, params: unknown, method = "m") => {
  const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: "r", method, params }));
  return shown(requestFor(given, { http: "POST", rest: "", body }));
};
const restRequest = (given: Sides, http: "GET" | "POST" | "DELETE", rest: string, body?: unknown) =>
  shown(requestFor(given, { http, rest, body: Buffer.from(body === undefined ? "" : JSON.stringify(body)) }));
const shown = ({ http, rest, body }: ReturnType<typeof requestFor>) => ({
  http,
  rest,
  body: body.length === 0 ? undefined : (JSON.parse(body.toString()) as Record<string, unknown>),
});
const answer = (body: unknown, status = 200): WireAnswer => ({
  status,
  contentType: "application/json",
  body: Buffer.from(JSON.stringify(body)),
});
const answered = (given: Sides, body: unknown, status?: number) => {
  const { status: told, body: bytes } = answerFor(given, answer(body, status));
  return { status: told, body: JSON.parse(bytes.toString()) as Record<string, unknown> };
};
const result = (given: Sides, of: unknown) => answered(given, { jsonrpc: "2.0", id: "r", result: of }).body["result"];
const events = (given: Sides, data: unknown) =>
  eventsFor(given, Buffer.from(JSON.stringify(data))).map((each) => JSON.parse(each.toString()) as unknown);

const task03 = {
  kind: "task",
  id: "t",
  contextId: "c",
  status: {
    state: "input-required",
    message: { kind: "message", messageId: "s", role: "agent", parts: [] },
    timestamp: "2025-01-02T03:04:05",
  },
  artifacts: [
    {
      artifactId: "a",
      parts: [
        { kind: "text", text: "hi" },
        { kind: "file", file: { uri: "https://f", mimeType: "image/png", name: "f.png" } },
        { kind: "file", file: { bytes: "AA==" }, metadata: { x: 1 } },
        { kind: "data", data: { a: 1 } },
      ],
    },
  ],
  history: [
    { kind: "message", messageId: "h", role: "user", parts: [{ kind: "text", text: "q" }], referenceTaskIds: ["o"] },
  ],
  metadata: { m: true },
};
const task10 = {
  id: "t",
  contextId: "c",
  status: {
    state: "TASK_STATE_INPUT_REQUIRED",
    message: { messageId: "s", role: "ROLE_AGENT", parts: [] },
    timestamp: "2025-01-02T03:04:05Z",
  },
  artifacts: [
    {
      artifactId: "a",
      parts: [
        { text: "hi" },
        { url: "https://f", filename: "f.png", mediaType: "image/png" },
        { raw: "AA==", metadata: { x: 1 } },
        { data: { a: 1 } },
      ],
    },
  ],
  history: [{ messageId: "h", role: "ROLE_USER", parts: [{ text: "q" }], referenceTaskIds: ["o"] }],
  metadata: { m: true },
};
const taskProto = {
  id: "t",
  contextId: "c",
  status: {
    state: "TASK_STATE_INPUT_REQUIRED",
    message: { messageId: "s", role: "ROLE_AGENT", content: [] },
    timestamp: "2025-01-02T03:04:05Z",
  },
  artifacts: [
    {
      artifactId: "a",
      parts: [
        { text: "hi" },
        { file: { fileWithUri: "https://f", mimeType: "image/png", name: "f.png" } },
        { file: { fileWithBytes: "AA==" }, metadata: { x: 1 } },
        { data: { data: { a: 1 } } },
      ],
    },
  ],
  history: [{ messageId: "h", role: "ROLE_USER", content: [{ text: "q" }], referenceTaskIds: ["o"] }],
  metadata: { m: true },
};
const task01 = {
  id: "t",
  sessionId: "c",
  status: {
    state: "input-required",
    message: { messageId: "s", role: "agent", parts: [] },
    timestamp: "2025-01-02T03:04:05Z",
  },
  artifacts: [
    {
      artifactId: "a",
      index: 0,
      parts: [
        { type: "text", text: "hi" },
        { type: "file", file: { uri: "https://f", mimeType: "image/png", name: "f.png" } },
        { type: "file", file: { bytes: "AA==" }, metadata: { x: 1 } },
        { type: "data", data: { a: 1 } },
      ],
    },
  ],
  history: [{ messageId: "h", role: "user", parts: [{ type: "text", text: "q" }] }],
  metadata: { m: true },
};

describe("a task", () => {
  test("of 0.3 is one of 1.0, with a time that has a zone", () => {
    expect(result(sides(rpc10, rpc03, "GetTask"), task03)).toEqual(task10);
    expect(result(sides(rpc10, rpc03, "SendMessage"), task03)).toEqual({ task: task10 });
  });

  test("of 1.0 is one of 0.3, 0.2 and 0.1", () => {
    const told = { ...task03, status: { ...task03.status, timestamp: "2025-01-02T03:04:05Z" } };
    expect(result(sides(rpc03, rpc10, "GetTask"), task10)).toEqual(told);
    expect(result(sides(rpc02, rpc10, "SendMessage"), { task: task10 })).toEqual(told);
    expect(result(sides(rpc01, rpc10, "GetTask"), task10)).toEqual(task01);
  });

  test("passes between JSON-RPC and REST, with two L in 0.3", () => {
    expect(answered(sides(rest03, rpc10, "GetTask"), { jsonrpc: "2.0", id: 1, result: task10 }).body).toEqual(
      taskProto,
    );
    expect(answered(sides(rest10, rest03, "SendMessage"), { task: taskProto }, 201)).toEqual({
      status: 200,
      body: { task: task10 },
    });
    const ended = { id: "t", contextId: "c", status: { state: "canceled" }, kind: "task" };
    expect(answered(sides(rest03, rpc03, "CancelTask"), { jsonrpc: "2.0", id: 1, result: ended }).body).toEqual({
      id: "t",
      contextId: "c",
      status: { state: "TASK_STATE_CANCELLED" },
    });
  });

  test("of 0.1 gets ids for its artifacts and messages, the same each time", () => {
    const given = {
      id: "t",
      sessionId: "c",
      status: { state: "completed", message: { role: "agent", parts: [{ type: "text", text: "done" }] } },
      artifacts: [
        { parts: [], index: 0 },
        { parts: [], index: 3, name: "x" },
      ],
    };
    const told = result(sides(rpc10, rpc01, "GetTask"), given) as typeof task10;
    expect(told.artifacts).toEqual([
      { artifactId: "artifact-0", parts: [] },
      { artifactId: "artifact-3", name: "x", parts: [] },
    ]);
    expect(told.status.message.messageId).toMatch(/^[0-9a-f]{32}$/);
    expect(result(sides(rpc10, rpc01, "GetTask"), given)).toEqual(told);
    expect(told).toMatchObject({ id: "t", contextId: "c" });
  });

  test("is called as its client called it", () => {
    const renames = { tasks: [{ client: "mine", upstream: "t" }], contexts: [{ client: "ours", upstream: "c" }] };
    const told = result(sides(rpc03, rpc10, "SendMessage", { renames }), { task: task10 });
    expect(told).toMatchObject({ id: "mine", contextId: "ours" });
  });
});

describe("a message instead of a task", () => {
  const message = { messageId: "m", contextId: "c", role: "ROLE_AGENT", parts: [{ text: "hi" }] };

  test("is one in 0.3", () => {
    const told = {
      kind: "message",
      messageId: "m",
      contextId: "c",
      role: "agent",
      parts: [{ kind: "text", text: "hi" }],
    };
    expect(result(sides(rpc03, rpc10, "SendMessage"), { message })).toEqual(told);
  });

  test("is a completed task in 0.1, of the client's id", () => {
    expect(result(sides(rpc01, rpc10, "SendMessage", { named: { task: "mine" } }), { message })).toEqual({
      id: "mine",
      sessionId: "c",
      status: { state: "completed", message: { messageId: "m", role: "agent", parts: [{ type: "text", text: "hi" }] } },
    });
  });
});

describe("a send", () => {
  const message = {
    messageId: "m",
    role: "ROLE_USER",
    taskId: "t",
    parts: [{ text: "hi", mediaType: "text/x" }, { data: [1] }],
  };
  const params = { message, configuration: { historyLength: 3, acceptedOutputModes: ["text"] }, metadata: { k: "v" } };

  test("from 1.0 waits in 0.3, where 1.0 waits", () => {
    expect(request(sides(rpc10, rpc03, "SendMessage"), params).body).toEqual({
      jsonrpc: "2.0",
      id: "r",
      method: "message/send",
      params: {
        message: {
          kind: "message",
          messageId: "m",
          role: "user",
          taskId: "t",
          parts: [
            { kind: "text", text: "hi", mediaType: "text/x" },
            { kind: "data", data: { value: [1] }, metadata: { data_part_compat: true } },
          ],
        },
        configuration: { historyLength: 3, acceptedOutputModes: ["text"], blocking: true },
        metadata: { k: "v" },
      },
    });
    const asked = request(sides(rpc10, rpc03, "SendMessage"), { message, configuration: { returnImmediately: true } });
    expect(asked.body).toMatchObject({ params: { configuration: { blocking: false } } });
  });

  test("from 1.0 becomes one of 0.3's REST", () => {
    expect(request(sides(rpc10, rest03, "SendMessage"), params)).toMatchObject({
      http: "POST",
      rest: "/v1/message:send",
      body: { message: { role: "ROLE_USER", content: [{ text: "hi" }, { data: { data: { value: [1] } } }] } },
    });
  });

  test("from 0.1 names its task only where the agent has it", () => {
    const first = {
      id: "t",
      sessionId: "c",
      message: { role: "user", parts: [{ type: "text", text: "hi" }] },
      historyLength: 2,
    };
    const begun = request(sides(rpc01, rpc10, "SendMessage", { named: { task: "t" } }), first).body;
    expect(begun).toMatchObject({
      method: "SendMessage",
      params: {
        message: { contextId: "c", role: "ROLE_USER", parts: [{ text: "hi" }] },
        configuration: { historyLength: 2 },
      },
    });
    expect(begun).not.toHaveProperty("params.message.taskId");
    expect(begun).toHaveProperty("params.message.messageId", expect.stringMatching(/./));
    const renames = { tasks: [{ client: "t", upstream: "up" }] };
    const gone = request(sides(rpc01, rpc10, "SendMessage", { renames, named: { task: "t" } }), first).body;
    expect(gone).toMatchObject({ params: { message: { taskId: "up" } } });
  });

  test("to 0.1 has an id of the task, and cannot refer to others", () => {
    expect(request(sides(rpc10, rpc01, "SendMessage"), params).body).toMatchObject({
      method: "tasks/send",
      params: { id: "t", historyLength: 3, message: { role: "user", parts: [{ type: "text" }, { type: "data" }] } },
    });
    const referring = { message: { ...message, referenceTaskIds: ["o"] } };
    expect(() => request(sides(rpc10, rpc01, "SendMessage"), referring)).toThrow("can't refer");
  });

  test("with a webhook says it in each revision's shape", () => {
    const webhook = { url: "https://w", token: "x", authentication: { scheme: "Bearer", credentials: "s" } };
    const legacy = { url: "https://w", token: "x", authentication: { schemes: ["Bearer"], credentials: "s" } };
    const given = { message, configuration: { taskPushNotificationConfig: webhook } };
    const to = (upstream: Dialect) => request(sides(rpc10, upstream, "SendMessage"), given).body;
    expect(to(rpc03)).toMatchObject({ params: { configuration: { pushNotificationConfig: legacy } } });
    expect(to(rest03)).toMatchObject({ configuration: { pushNotification: legacy } });
    expect(to(rpc01)).toMatchObject({ params: { pushNotification: legacy } });
    const back = request(sides(rpc03, rpc10, "SendMessage"), {
      message: { kind: "message", messageId: "m", role: "user", parts: [] },
      configuration: { pushNotificationConfig: legacy },
    });
    expect(back.body).toMatchObject({
      params: { configuration: { taskPushNotificationConfig: webhook, returnImmediately: true } },
    });
  });
});

describe("the other operations", () => {
  test("between JSON-RPC and REST, path and query for params", () => {
    expect(request(sides(rpc03, rest10, "GetTask"), { id: "a/b", historyLength: 2 })).toEqual({
      http: "GET",
      rest: "/tasks/a%2Fb?historyLength=2",
      body: undefined,
    });
    expect(
      restRequest(sides(rest10, rpc03, "GetTask"), "GET", "/tasks/t?historyLength=2&A2A-Version=1.0").body,
    ).toEqual({
      jsonrpc: "2.0",
      id: "r",
      method: "tasks/get",
      params: { historyLength: 2, id: "t" },
    });
    expect(restRequest(sides(rest03, rest10, "CancelTask"), "POST", "/v1/tasks/t:cancel")).toMatchObject({
      rest: "/tasks/t:cancel",
      body: {},
    });
    expect(restRequest(sides(rest03, rpc10, "SubscribeToTask"), "GET", "/v1/tasks/t:subscribe").body).toMatchObject({
      method: "SubscribeToTask",
      params: { id: "t" },
    });
    const listing = "/tasks?contextId=c&pageSize=5&includeArtifacts=true&status=TASK_STATE_WORKING";
    expect(restRequest(sides(rest10, rpc10, "ListTasks"), "GET", listing).body).toMatchObject({
      params: { contextId: "c", pageSize: 5, includeArtifacts: true, status: "TASK_STATE_WORKING" },
    });
  });

  test("push configurations have each revision's shape", () => {
    const config = { taskId: "t", id: "p", url: "https://w" };
    const create = "CreateTaskPushNotificationConfig";
    expect(request(sides(rpc10, rpc03, create), config).body).toMatchObject({
      method: "tasks/pushNotificationConfig/set",
      params: { taskId: "t", pushNotificationConfig: { id: "p", url: "https://w" } },
    });
    expect(request(sides(rpc10, rest03, create), config)).toMatchObject({
      rest: "/v1/tasks/t/pushNotificationConfigs",
      body: {
        parent: "tasks/t",
        configId: "p",
        config: { name: "tasks/t/pushNotificationConfigs/p", pushNotificationConfig: { id: "p", url: "https://w" } },
      },
    });
    const get = "GetTaskPushNotificationConfig";
    expect(request(sides(rpc03, rpc10, get), { id: "t", pushNotificationConfigId: "p" }).body).toMatchObject({
      params: { taskId: "t", id: "p" },
    });
    expect(request(sides(rpc10, rest03, get), { taskId: "t", id: "p" }).rest).toBe(
      "/v1/tasks/t/pushNotificationConfigs/p",
    );
    const list = "ListTaskPushNotificationConfigs";
    expect(result(sides(rpc03, rpc10, list), { configs: [config] })).toEqual([
      { taskId: "t", pushNotificationConfig: { id: "p", url: "https://w" } },
    ]);
    expect(() => request(sides(rpc10, rpc01, list), { taskId: "t" })).toThrow(
      "0.1 has no ListTaskPushNotificationConfigs",
    );
  });
});

describe("a stream", () => {
  const status = { taskId: "t", contextId: "c", status: { state: "TASK_STATE_COMPLETED" } };

  test("says `final` before 1.0, where the task has ended", () => {
    const given = sides(rpc03, rpc10, "SendStreamingMessage");
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { statusUpdate: status } })).toEqual([
      {
        jsonrpc: "2.0",
        id: "r",
        result: { kind: "status-update", taskId: "t", contextId: "c", status: { state: "completed" }, final: true },
      },
    ]);
    const waiting = { ...status, status: { state: "TASK_STATE_INPUT_REQUIRED" } };
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { statusUpdate: waiting } })).toMatchObject([
      { result: { final: false } },
    ]);
  });

  test("wraps in 1.0 what 0.3 tells by its kind", () => {
    const artifact = {
      kind: "artifact-update",
      taskId: "t",
      contextId: "c",
      artifact: { artifactId: "a", parts: [] },
      append: true,
      lastChunk: false,
    };
    const { kind: _kind, ...told } = artifact;
    expect(events(sides(rest10, rpc03, "SendStreamingMessage"), { jsonrpc: "2.0", id: 1, result: artifact })).toEqual([
      { artifactUpdate: told },
    ]);
  });

  test("has no task in 0.1: a snapshot is its artifacts and its status", () => {
    const given = sides(rpc01, rpc10, "SubscribeToTask", { named: { task: "mine" }, memory: new StreamMemory() });
    const ended = { ...task10, status: { state: "TASK_STATE_REJECTED" } };
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { task: ended } })).toMatchObject([
      { result: { id: "mine", artifact: { index: 0, append: false, lastChunk: true } } },
      { result: { id: "mine", status: { state: "failed" }, final: true } },
    ]);
    const chunk = { taskId: "t", contextId: "c", artifact: { artifactId: "b", parts: [] }, append: true };
    expect(events(given, { jsonrpc: "2.0", id: 1, result: { artifactUpdate: chunk } })).toMatchObject([
      { result: { id: "mine", artifact: { index: 1, append: true } } },
    ]);
  });

  test("of 0.1 is told with what is known of its context", () => {
    const given = sides(rpc10, rpc01, "SendStreamingMessage", { context: "c" });
    expect(
      events(given, { jsonrpc: "2.0", id: 1, result: { id: "t", artifact: { parts: [], index: 2, append: true } } }),
    ).toMatchObject([
      {
        result: {
          artifactUpdate: { taskId: "t", contextId: "c", append: true, artifact: { artifactId: "artifact-2" } },
        },
      },
    ]);
  });

  test("tells an error in the client's words", () => {
    const failed = { jsonrpc: "2.0", id: 1, error: { code: -32001, message: "gone" } };
    const info = {
      "@type": "type.googleapis.com/google.rpc.ErrorInfo",
      reason: "TASK_NOT_FOUND",
      domain: "a2a-protocol.org",
    };
    expect(events(sides(rest10, rpc03, "SubscribeToTask"), failed)).toEqual([
      { error: { code: 404, status: "NOT_FOUND", message: "gone", details: [info] } },
    ]);
    expect(events(sides(rpc03, rest03, "SubscribeToTask"), { code: -32001, message: "gone" })).toEqual([
      { ...failed, id: "r" },
    ]);
  });
});
