import { randomUUID } from "node:crypto";
import {
  AgentCard,
  SendMessageRequest,
  StreamResponse,
  Task,
  TaskState,
  Message,
  type TaskPushNotificationConfig,
} from "@a2a-js/sdk";
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from "@a2a-js/sdk/client";
import type { A2aBinding } from "@sluice/contracts";
import type { A2aClient, ClientOptions, Push, Said, SendOptions } from "./client.ts";
import { seenCard, seenTaskV10, seenV10 } from "./seen.ts";
import { startTape } from "./tape.ts";

const tenant = "";

/** The official client of 1.0. */
export async function connectV10(binding: A2aBinding, { baseUrl, headers }: ClientOptions): Promise<A2aClient> {
  const tape = startTape(headers);
  const { fetch: fetchImpl } = tape;
  const transport =
    binding === "JSONRPC" ? new JsonRpcTransportFactory({ fetchImpl }) : new RestTransportFactory({ fetchImpl });
  const cardResolver = new DefaultAgentCardResolver({ fetchImpl });
  const card = await tape.run(() => cardResolver.resolve(`${baseUrl}/`));
  const client = await new ClientFactory({ transports: [transport], cardResolver }).createFromAgentCard(card);
  return wrap(client, { binding, tape, card });
}

type Rest = Pick<A2aClient, "binding" | "tape"> & { readonly card: AgentCard };

function wrap(client: Client, { binding, tape, card }: Rest): A2aClient {
  const seenEvent = (event: StreamResponse) => seenV10(StreamResponse.toJSON(event));
  return {
    version: "1.0",
    binding,
    tape,
    card: () => Promise.resolve(seenCard(AgentCard.toJSON(card))),
    async send(said, options) {
      const result = await tape.run(() => client.sendMessage(requestOf(said, options)));
      return "messageId" in result ? seenV10({ message: Message.toJSON(result) }) : seenTaskV10(Task.toJSON(result));
    },
    async *stream(said, { signal, ...options } = {}) {
      const events = () => client.sendMessageStream(requestOf(said, options), signal && { signal });
      for await (const event of tape.iterate(events)) yield seenEvent(event);
    },
    async get(id, historyLength) {
      const more = historyLength !== undefined && { historyLength };
      return seenTaskV10(Task.toJSON(await tape.run(() => client.getTask({ tenant, id, ...more }))));
    },
    async cancel(id) {
      return seenTaskV10(Task.toJSON(await tape.run(() => client.cancelTask({ tenant, id, metadata: undefined }))));
    },
    async *subscribe(id, signal) {
      const events = () => client.resubscribeTask({ tenant, id }, signal && { signal });
      for await (const event of tape.iterate(events)) yield seenEvent(event);
    },
    async list({ context: contextId = "", pageSize }) {
      const filter = {
        tenant,
        contextId,
        status: TaskState.TASK_STATE_UNSPECIFIED,
        pageToken: "",
        statusTimestampAfter: undefined,
      };
      const { tasks } = await tape.run(() =>
        client.listTasks({ ...filter, ...(pageSize !== undefined && { pageSize }), includeArtifacts: true }),
      );
      return tasks.map((task) => seenTaskV10(Task.toJSON(task)));
    },
    setPush: async (task, push) =>
      pushOf(await tape.run(() => client.createTaskPushNotificationConfig(configOf(push, task)))),
    getPush: async (taskId, id) =>
      pushOf(await tape.run(() => client.getTaskPushNotificationConfig({ tenant, taskId, id }))),
    async listPush(taskId) {
      const page = { tenant, taskId, pageSize: 10, pageToken: "" };
      const { configs } = await tape.run(() => client.listTaskPushNotificationConfig(page));
      return configs.map(pushOf);
    },
    deletePush: (taskId, id) => tape.run(() => client.deleteTaskPushNotificationConfig({ tenant, taskId, id })),
    async extendedCard() {
      return seenCard(AgentCard.toJSON(await tape.run(() => client.getAgentCard())));
    },
  };
}

function requestOf(said: Said, { isImmediate = false, historyLength, push }: SendOptions = {}): SendMessageRequest {
  const { pieces, task, context, references = [] } = said;
  return SendMessageRequest.fromJSON({
    message: {
      messageId: randomUUID(),
      role: "ROLE_USER",
      parts: pieces,
      ...(task !== undefined && { taskId: task }),
      ...(context !== undefined && { contextId: context }),
      referenceTaskIds: references,
    },
    configuration: {
      returnImmediately: isImmediate,
      ...(historyLength !== undefined && { historyLength }),
      ...(push && { taskPushNotificationConfig: configOf(push) }),
    },
  });
}

const configOf = ({ id = "", url, token = "", authentication }: Push, taskId = ""): TaskPushNotificationConfig => ({
  tenant,
  id,
  taskId,
  url,
  token,
  authentication: authentication && { ...authentication },
});

const pushOf = ({ id, url, token, authentication }: TaskPushNotificationConfig): Push => ({
  ...(id && { id }),
  url,
  ...(token && { token }),
  ...(authentication && { authentication }),
});
