import { randomUUID } from "node:crypto";
import { partOfV01 } from "../agents/v01-wire.ts";
import type { A2aClient, ClientOptions, Said, SendOptions } from "./client.ts";
import { connectRaw } from "./raw.ts";
import { configOf, pushOf } from "./sdk-v03.ts";
import { seenTaskV01, seenV01 } from "./seen.ts";

/** A client of 0.1, which chooses the ids of its tasks. */
export async function connectV01(options: ClientOptions): Promise<A2aClient> {
  const { tape, card, call, stream } = await connectRaw(options);
  const seenTask = (answer: unknown) => seenTaskV01(answer as never);
  return {
    version: "0.1",
    binding: "JSONRPC",
    tape,
    card: () => Promise.resolve(card),
    send: async (said, sending) => seenTask(await call("tasks/send", paramsOf(said, sending))),
    async *stream(said, { signal, ...sending } = {}) {
      for await (const event of stream("tasks/sendSubscribe", paramsOf(said, sending), signal)) yield seenV01(event);
    },
    get: async (id, historyLength) => seenTask(await call("tasks/get", { id, historyLength })),
    cancel: async (id) => seenTask(await call("tasks/cancel", { id })),
    async *subscribe(id, signal) {
      for await (const event of stream("tasks/resubscribe", { id }, signal)) yield seenV01(event);
    },
    setPush: async (id, push) =>
      pushIn(await call("tasks/pushNotification/set", { id, pushNotificationConfig: configOf(push) })),
    getPush: async (id) => pushIn(await call("tasks/pushNotification/get", { id })),
  };
}

const pushIn = (answer: unknown) =>
  pushOf((answer as { pushNotificationConfig: Parameters<typeof pushOf>[0] }).pushNotificationConfig);

function paramsOf({ pieces, task = randomUUID(), context }: Said, { historyLength, push }: SendOptions = {}): object {
  return {
    id: task,
    ...(context !== undefined && { sessionId: context }),
    message: { role: "user", parts: pieces.map(partOfV01) },
    ...(historyLength !== undefined && { historyLength }),
    ...(push && { pushNotification: configOf(push) }),
  };
}
