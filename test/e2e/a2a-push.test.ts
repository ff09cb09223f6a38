import { until, type FakeUpstream } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, send } from "./http.ts";
import { heardBy, saying, startPushHouse, startWebhook, statesOf, toldTo, urlOf, type PushHouse } from "./a2a-push.ts";

let push: PushHouse;
let webhook: FakeUpstream;

beforeAll(async () => {
  push = await startPushHouse();
});
afterAll(() => push[Symbol.asyncDispose]());
beforeEach(async () => {
  webhook = await startWebhook();
});
afterEach(() => webhook[Symbol.asyncDispose]());

const given = (more: object = {}) => ({ url: urlOf(webhook), token: "the-client's-own", ...more });

describe("a client that says with its message where it wants to be told", () => {
  it("is told by the gateway, in the agent's words, with its own token and credentials; the agent learns neither", async () => {
    const authentication = { scheme: "Basic", credentials: "dXNlcjpwYXNz+/==" };
    const { result, text } = await push.call("SendMessage", saying("echo hi", given({ id: "mine", authentication })));
    expect(result?.task?.status.state, text).toBe("TASK_STATE_COMPLETED");
    const told = await toldTo(webhook, 4);
    expect(statesOf(told).toSorted()).toEqual(["TASK_STATE_COMPLETED", "TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"]);
    for (const { method, url, headers } of told) {
      expect([method, url]).toEqual(["POST", "/hook?secret=s3"]);
      expect(headers["content-type"]).toBe("application/a2a+json");
      expect(headers["x-a2a-notification-token"]).toBe("the-client's-own");
      expect(headers["authorization"]).toBe("Basic dXNlcjpwYXNz+/==");
    }
    const seen = heardBy(push.agents.v10);
    expect(seen).toContain("/a2a/push/");
    for (const secret of ["the-client's-own", "dXNlcjpwYXNz", "secret=s3", String(webhook.port)])
      expect(seen).not.toContain(secret);
    expect(webhook.everything).not.toContain("/a2a/push/");
  });

  it("loses nothing of what an agent tells before it has answered", async () => {
    const sending = push.call("SendMessage", saying("slow 1", given()));
    await toldTo(webhook, 2);
    push.agents.v10.gates.release({ count: 1 });
    expect((await sending).result?.task?.status.state).toBe("TASK_STATE_COMPLETED");
    await until("the end to be told", () => statesOf(webhook.requests).includes("TASK_STATE_COMPLETED"));
  });
});

it("a client that hears a stream is told besides, as long as the task goes on", async () => {
  const { house } = push.house;
  const headers = { ...as(push.house.key("a-1")), "a2a-version": "1.0", accept: "text/event-stream" };
  const params = saying("slow 1", given());
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendStreamingMessage", params });
  const streaming = send(`${house.url}/a2a/v10`, { headers, body });
  expect(statesOf(await toldTo(webhook, 2))).toEqual(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"]);
  push.agents.v10.gates.release({ count: 1 });
  expect((await streaming).text).toContain("TASK_STATE_COMPLETED");
  await until("the end to be told", () => statesOf(webhook.requests).includes("TASK_STATE_COMPLETED"));
  const { task } = JSON.parse(webhook.requests[0]?.body.toString() ?? "") as { task: { id: string } };
  const listed = await push.call("ListTaskPushNotificationConfigs", { taskId: task.id });
  expect(listed.result?.["configs"]).toMatchObject([{ taskId: task.id, url: urlOf(webhook) }]);
});

it("an answer that is no task leaves nothing of the webhook behind", async () => {
  const before = await push.house.queryTasks("select id from a2a_push");
  expect((await push.call("SendMessage", saying("message hi", given()))).result?.["message"]).toBeDefined();
  expect(await push.house.queryTasks("select id from a2a_push")).toEqual(before);
});

describe("a task's configurations", () => {
  const running = async () => {
    const { result, text } = await push.call("SendMessage", saying("long", undefined, { returnImmediately: true }));
    const id = result?.task?.id;
    if (id === undefined) throw new Error(`no task: ${text}`);
    return id;
  };

  it("are made, shown without secrets, listed and deleted, and the agent is told the gateway's address alone", async () => {
    const taskId = await running();
    const authentication = { scheme: "Bearer", credentials: "cnry-credentials" };
    const made = await push.call("CreateTaskPushNotificationConfig", {
      taskId,
      ...given({ id: "one", authentication }),
    });
    const shown = { taskId, id: "one", url: urlOf(webhook), authentication: { scheme: "Bearer" } };
    expect(made.result).toEqual(shown);
    await push.call("CreateTaskPushNotificationConfig", {
      taskId,
      ...given({ id: "two", url: `${urlOf(webhook)}&n=2` }),
    });
    expect((await push.call("GetTaskPushNotificationConfig", { taskId, id: "one" })).result).toEqual(shown);
    const listed = await push.call("ListTaskPushNotificationConfigs", { taskId });
    expect((listed.result?.["configs"] as { id: string }[]).map(({ id }) => id)).toEqual(["one", "two"]);
    expect([made.text, listed.text].join()).not.toMatch(/cnry|client's-own/);
    expect((await push.call("DeleteTaskPushNotificationConfig", { taskId, id: "two" })).error).toBeUndefined();
    expect((await push.call("GetTaskPushNotificationConfig", { taskId, id: "two" })).error?.code).toBe(-32001);
    push.agents.v10.gates.release({ task: taskId });
    const told = await toldTo(webhook, 2);
    expect(statesOf(told)).toEqual(["TASK_STATE_COMPLETED"]);
    expect(told.every(({ url }) => url === "/hook?secret=s3")).toBe(true);
    expect(heardBy(push.agents.v10)).not.toContain("cnry-credentials");
  });

  it("A22: are for another caller what those of an unknown task are, byte for byte", async () => {
    const taskId = await running();
    await push.call("CreateTaskPushNotificationConfig", { taskId, ...given({ id: "one" }) });
    const asked = [
      ["CreateTaskPushNotificationConfig", given({ id: "one" })],
      ["GetTaskPushNotificationConfig", { id: "one" }],
      ["ListTaskPushNotificationConfigs", {}],
      ["DeleteTaskPushNotificationConfig", { id: "one" }],
    ] as const;
    for (const [method, params] of asked) {
      const foreign = await push.call(method, { taskId, ...params }, "a-2");
      const unknown = await push.call(method, { taskId: crypto.randomUUID(), ...params }, "a-2");
      expect(foreign.error?.code, method).toBe(-32001);
      expect([foreign.status, foreign.text]).toEqual([unknown.status, unknown.text]);
    }
    push.agents.v10.gates.release({ task: taskId });
    await toldTo(webhook, 2);
  });

  it("A25: have no address inside, nor one with a password in it, and nothing that is no URL of the web", async () => {
    const taskId = await running();
    const bad = ["http://169.254.169.254/", "http://[fd00::1]/", "http://10.1.2.3/x", "file:///etc/passwd", "x"];
    for (const url of [...bad, "http://0x0a.1.2.3/", "http://[::ffff:10.0.0.1]/", "https://me:pw@hooks.example/"]) {
      const { error, text } = await push.call("CreateTaskPushNotificationConfig", { taskId, url });
      expect(error, `${url}: ${text}`).toBeDefined();
      const inline = await push.call("SendMessage", saying("echo", { url }));
      expect(inline.error, url).toBeDefined();
    }
    expect(heardBy(push.agents.v10)).not.toContain("169.254");
    push.agents.v10.gates.release({ task: taskId });
  });
});

it("an agent of 0.3 tells clients of 0.3 through the gateway as it would have", async () => {
  const message = { kind: "message", messageId: "m", role: "user", parts: [{ kind: "text", text: "echo hi" }] };
  const configuration = { blocking: true, pushNotificationConfig: given() };
  const { result, text } = await push.callV03("message/send", { message, configuration });
  expect(result?.["kind"], text).toBe("task");
  const told = await toldTo(webhook, 3);
  for (const { body, headers } of told) {
    expect(JSON.parse(body.toString("utf8"))).toMatchObject({ kind: "task", id: result?.["id"] });
    expect(headers["content-type"]).toBe("application/json");
    expect(headers["x-a2a-notification-token"]).toBe("the-client's-own");
  }
  const id = String(result?.["id"]);
  const got = await push.callV03("tasks/pushNotificationConfig/get", { id });
  expect(got.result, got.text).toEqual({ taskId: id, pushNotificationConfig: { id, url: urlOf(webhook) } });
});
