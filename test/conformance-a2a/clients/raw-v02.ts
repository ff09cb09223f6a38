import type { A2aClient, ClientOptions, Said, SeenTask, SendOptions } from "./client.ts";
import { connectRaw } from "./raw.ts";
import { configOf, messageOfV03, pushOf } from "./sdk-v03.ts";
import { seenV03 } from "./seen.ts";

/** A client of 0.2.5: JSON-RPC, the card at its old path, no lists. */
export async function connectV02(options: ClientOptions): Promise<A2aClient> {
  const { tape, card, call, stream } = await connectRaw(options);
  return {
    version: "0.2",
    binding: "JSONRPC",
    tape,
    card: () => Promise.resolve(card),
    send: async (said, sending) => seenV03(await call("message/send", paramsOf(said, sending))),
    async *stream(said, { signal, ...sending } = {}) {
      for await (const event of stream("message/stream", paramsOf(said, sending), signal)) yield seenV03(event);
    },
    get: async (id, historyLength) => seenV03(await call("tasks/get", { id, historyLength })) as SeenTask,
    cancel: async (id) => seenV03(await call("tasks/cancel", { id })) as SeenTask,
    async *subscribe(id, signal) {
      for await (const event of stream("tasks/resubscribe", { id }, signal)) yield seenV03(event);
    },
    async setPush(taskId, push) {
      const set = { taskId, pushNotificationConfig: configOf(push) };
      return pushIn(await call("tasks/pushNotificationConfig/set", set));
    },
    getPush: async (id) => pushIn(await call("tasks/pushNotificationConfig/get", { id })),
  };
}

const pushIn = (answer: unknown) =>
  pushOf((answer as { pushNotificationConfig: Parameters<typeof pushOf>[0] }).pushNotificationConfig);

function paramsOf(said: Said, { isImmediate = false, historyLength, push }: SendOptions = {}): object {
  const more = {
    ...(historyLength !== undefined && { historyLength }),
    ...(push && { pushNotificationConfig: configOf(push) }),
  };
  return { message: messageOfV03(said), configuration: { acceptedOutputModes: [], blocking: !isImmediate, ...more } };
}
