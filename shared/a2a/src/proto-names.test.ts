import { describe, expect, test } from "vitest";
import { paramsOf, readRequest, requestFor, type Sides, type WireRequest } from "./index.ts";
import { rest10, rpc03, rpc10 } from "./translate-test-data.ts";

const rpc = (method: string, params: object): WireRequest => ({
  http: "POST",
  rest: "",
  body: Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })),
});
const get = (rest: string): WireRequest => ({ http: "GET", rest, body: Buffer.alloc(0) });
const named = async (request: WireRequest) => (await readRequest(request)).named;
const parsed = ({ body }: WireRequest) => JSON.parse(body.toString()) as { params: unknown };
const renames = { tasks: [{ client: "t", upstream: "T" }], contexts: [{ client: "c", upstream: "C" }] };
const sides = (more: Pick<Sides, "client" | "upstream" | "operation">): Sides => ({ ...more, rpcId: "1", renames });

const parts = [{ text: "hi", media_type: "text/plain", metadata: { task_id: "t" } }];
const message = { message_id: "m", role: "ROLE_USER", parts, task_id: "t", context_id: "c", reference_task_ids: ["t"] };
const webhook = { url: "https://hooks.example/", task_id: "t" };
const sent = { message, configuration: { history_length: 2, task_push_notification_config: webhook } };

describe("1.0's requests by the names of its proto file", () => {
  test("A22 name what they name by the usual ones", async () => {
    const read = await readRequest(rpc("SendMessage", sent));
    expect(read.named).toEqual({ task: "t", context: "c", references: ["t"] });
    expect(read.hasWebhook).toBe(true);
    expect(await named(rpc("ListTasks", { context_id: "c" }))).toEqual({ context: "c" });
    expect(await named(rpc("GetTaskPushNotificationConfig", { task_id: "t", id: "p" }))).toEqual({
      task: "t",
      pushConfig: "p",
    });
    expect(await named(get("/tasks?context_id=c&page_size=5"))).toEqual({ context: "c" });
  });

  test.each([
    ["SendMessage", { message: { ...message, taskId: "u" } }],
    ["SendMessage", { message: { ...message, contextId: "c" } }],
    ["SendMessage", { message: { ...message, referenceTaskIds: [] } }],
    ["SendMessage", { message: { ...message, messageId: "n" } }],
    ["SendMessage", { ...sent, configuration: { ...sent.configuration, taskPushNotificationConfig: webhook } }],
    ["SendMessage", { message, configuration: { taskPushNotificationConfig: { ...webhook, taskId: "t" } } }],
    ["ListTasks", { context_id: "c", contextId: "d" }],
    ["ListTasks", { page_size: 1, pageSize: 2 }],
    ["CreateTaskPushNotificationConfig", { taskId: "t", task_id: "u", url: "https://hooks.example/" }],
  ])("A22 are refused with both spellings of one member: %s %#", async (method, params) => {
    await expect(readRequest(rpc(method, params))).rejects.toMatchObject({ kind: "invalid_params" });
  });

  test.each(["contextId=c&context_id=d", "contextId=c&contextId=d", "page_size=1&pageSize=1"])(
    "A22 are refused where the address says it twice: %s",
    async (query) => {
      await expect(readRequest(get(`/tasks?${query}`))).rejects.toMatchObject({ kind: "invalid_params" });
    },
  );

  test("are refused before 1.0", async () => {
    await expect(readRequest(rpc("message/send", sent))).rejects.toMatchObject({ kind: "invalid_params" });
    await expect(readRequest(rpc("tasks/pushNotificationConfig/set", { task_id: "t" }))).rejects.toMatchObject({
      kind: "invalid_params",
    });
  });

  test("pass as they came, but for names that differ", () => {
    const asked = rpc("SendMessage", sent);
    const same = { client: rpc10, upstream: rpc10, operation: "SendMessage" } as const;
    expect(requestFor(same, asked).body).toBe(asked.body);
    expect(parsed(requestFor(sides(same), asked)).params).toEqual({
      message: { ...message, task_id: "T", context_id: "C", reference_task_ids: ["T"] },
      configuration: { history_length: 2, task_push_notification_config: { ...webhook, task_id: "T" } },
    });
  });

  test("are translated as by the usual ones; what is free stays as it is", () => {
    const to03 = requestFor(
      sides({ client: rpc10, upstream: rpc03, operation: "SendMessage" }),
      rpc("SendMessage", sent),
    );
    expect(parsed(to03).params).toMatchObject({
      message: {
        kind: "message",
        messageId: "m",
        taskId: "T",
        contextId: "C",
        referenceTaskIds: ["T"],
        parts: [{ kind: "text", text: "hi", mediaType: "text/plain", metadata: { task_id: "t" } }],
      },
      configuration: { historyLength: 2, pushNotificationConfig: { url: "https://hooks.example/" } },
    });
    const listed = requestFor(
      sides({ client: rpc10, upstream: rest10, operation: "ListTasks" }),
      rpc("ListTasks", { context_id: "c", page_size: 5 }),
    );
    expect(listed.rest).toBe("/tasks?contextId=C&pageSize=5");
    expect(paramsOf({ client: rest10, operation: "ListTasks" }, get("/tasks?page_size=5"))).toEqual({ pageSize: 5 });
  });

  test("are refused in translation with both spellings of what nobody reads on the way", () => {
    const asked = rpc("SendMessage", {
      message: { ...message, parts: [{ text: "hi", mediaType: "a", media_type: "b" }] },
    });
    expect(() => requestFor(sides({ client: rpc10, upstream: rpc03, operation: "SendMessage" }), asked)).toThrow(
      expect.objectContaining({ kind: "invalid_params" }),
    );
  });
});
