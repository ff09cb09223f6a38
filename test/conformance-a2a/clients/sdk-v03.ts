import { randomUUID } from "node:crypto";
import type { AgentCard, MessageSendParams, Part, PushNotificationConfig } from "a2a-sdk-0.3";
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  type Client,
} from "a2a-sdk-0.3/client";
import type { A2aBinding } from "@sluice/contracts";
import { partOfV03 } from "../agents/v03.ts";
import type { A2aClient, ClientOptions, Push, Said, SeenTask, SendOptions } from "./client.ts";
import { seenCard, seenV03 } from "./seen.ts";
import { startTape } from "./tape.ts";

/** The official client of 0.3. */
export async function connectV03(binding: A2aBinding, { baseUrl, headers }: ClientOptions): Promise<A2aClient> {
  const tape = startTape(headers);
  const { fetch: fetchImpl } = tape;
  const transport =
    binding === "JSONRPC" ? new JsonRpcTransportFactory({ fetchImpl }) : new RestTransportFactory({ fetchImpl });
  const cardResolver = new DefaultAgentCardResolver({ fetchImpl });
  const card = await tape.run(() => cardResolver.resolve(`${baseUrl}/`));
  const factory = new ClientFactory({ transports: [transport], cardResolver, preferredTransports: [binding] });
  return wrap(await factory.createFromAgentCard(card), { binding, tape, card });
}

type Rest = Pick<A2aClient, "binding" | "tape"> & { readonly card: AgentCard };

function wrap(client: Client, { binding, tape, card }: Rest): A2aClient {
  return {
    version: "0.3",
    binding,
    tape,
    card: () => Promise.resolve(seenCard(card)),
    send: async (said, options) => seenV03(await tape.run(() => client.sendMessage(paramsOf(said, options)))),
    async *stream(said, { signal, ...options } = {}) {
      const events = () => client.sendMessageStream(paramsOf(said, options), signal && { signal });
      for await (const event of tape.iterate(events)) yield seenV03(event);
    },
    async get(id, historyLength) {
      const more = historyLength !== undefined && { historyLength };
      return seenV03(await tape.run(() => client.getTask({ id, ...more }))) as SeenTask;
    },
    cancel: async (id) => seenV03(await tape.run(() => client.cancelTask({ id }))) as SeenTask,
    async *subscribe(id, signal) {
      const events = () => client.resubscribeTask({ id }, signal && { signal });
      for await (const event of tape.iterate(events)) yield seenV03(event);
    },
    async setPush(taskId, push) {
      const set = { taskId, pushNotificationConfig: configOf(push) };
      return pushOf((await tape.run(() => client.setTaskPushNotificationConfig(set))).pushNotificationConfig);
    },
    async getPush(id, pushNotificationConfigId) {
      const wanted = { id, pushNotificationConfigId };
      return pushOf((await tape.run(() => client.getTaskPushNotificationConfig(wanted))).pushNotificationConfig);
    },
    async listPush(id) {
      const configs = await tape.run(() => client.listTaskPushNotificationConfig({ id }));
      return configs.map(({ pushNotificationConfig }) => pushOf(pushNotificationConfig));
    },
    deletePush: (id, pushNotificationConfigId) =>
      tape.run(() => client.deleteTaskPushNotificationConfig({ id, pushNotificationConfigId })),
    extendedCard: async () => seenCard(await tape.run(() => client.transport.getExtendedAgentCard())),
  };
}

function paramsOf(said: Said, options: SendOptions = {}): MessageSendParams {
  const { isImmediate = false, historyLength, push } = options;
  return {
    message: messageOfV03(said),
    configuration: {
      blocking: !isImmediate,
      ...(historyLength !== undefined && { historyLength }),
      ...(push && { pushNotificationConfig: configOf(push) }),
    },
  };
}

/** A message of 0.2 or 0.3. */
export function messageOfV03({ pieces, task, context, references }: Said) {
  return {
    kind: "message" as const,
    messageId: randomUUID(),
    role: "user" as const,
    parts: pieces.map((piece): Part => partOfV03(piece)),
    ...(task !== undefined && { taskId: task }),
    ...(context !== undefined && { contextId: context }),
    ...(references && { referenceTaskIds: [...references] }),
  };
}

/** A push configuration of 0.1 to 0.3. */
export const configOf = ({ authentication, ...push }: Push): PushNotificationConfig => ({
  ...push,
  ...(authentication && {
    authentication: { schemes: [authentication.scheme], credentials: authentication.credentials },
  }),
});

export const pushOf = ({ id, url, token, authentication }: PushNotificationConfig): Push => ({
  ...(id && { id }),
  url,
  ...(token && { token }),
  ...(authentication && {
    authentication: { scheme: authentication.schemes[0] ?? "", credentials: authentication.credentials ?? "" },
  }),
});
