import type { Dialect } from "@sluice/contracts";
import { describe, expect, test } from "vitest";
import {
  answered,
  request,
  rest03,
  rest10,
  restRequest,
  result,
  rpc01,
  rpc02,
  rpc03,
  rpc10,
  sides,
  task01,
  task03,
  task10,
  taskProto,
} from "./translate-test-data.ts";

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
    const told = result({ ...sides(rpc03, rpc10, "SendMessage"), renames }, { task: task10 });
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
    expect(result({ ...sides(rpc01, rpc10, "SendMessage"), named: { task: "mine" } }, { message })).toEqual({
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
    const begun = request({ ...sides(rpc01, rpc10, "SendMessage"), named: { task: "t" } }, first).body;
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
    const gone = request({ ...sides(rpc01, rpc10, "SendMessage"), renames, named: { task: "t" } }, first).body;
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

  test("of 0.1 names no task or context but by its parameters (A22)", () => {
    const hidden = { role: "user", parts: [], taskId: "o", contextId: "o", referenceTaskIds: ["o"] };
    const sent = request(sides(rpc01, rpc10, "SendMessage"), { id: "t", message: hidden }).body;
    expect(JSON.stringify(sent)).not.toContain('"o"');
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
    const named = { id: "t", name: "tasks/theirs", "A2A-Version": "0.3", taskId: "y", historyLength: 1 };
    expect(request(sides(rpc03, rest10, "GetTask"), named).rest).toBe("/tasks/t?historyLength=1");
    expect(restRequest(sides(rest10, rpc03, "GetTask"), "GET /tasks/t?historyLength=2&A2A-Version=1.0").body).toEqual({
      jsonrpc: "2.0",
      id: "r",
      method: "tasks/get",
      params: { historyLength: 2, id: "t" },
    });
    expect(restRequest(sides(rest03, rest10, "CancelTask"), "POST /v1/tasks/t:cancel")).toMatchObject({
      rest: "/tasks/t:cancel",
      body: {},
    });
    expect(restRequest(sides(rest03, rpc10, "SubscribeToTask"), "GET /v1/tasks/t:subscribe").body).toMatchObject({
      method: "SubscribeToTask",
      params: { id: "t" },
    });
    const listing = "GET /tasks?contextId=c&pageSize=5&includeArtifacts=true&status=TASK_STATE_WORKING";
    expect(restRequest(sides(rest10, rpc10, "ListTasks"), listing).body).toMatchObject({
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
