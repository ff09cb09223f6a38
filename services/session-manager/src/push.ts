import type { Incoming } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  pushBindSchema,
  pushDropSchema,
  pushFindSchema,
  pushListSchema,
  pushSaveSchema,
  subjects,
  type PushBound,
  type PushFound,
  type PushListed,
  type PushSaved,
} from "@sluice/contracts";
import { servingFor, type Context } from "@sluice/runtime";
import { createIgnoredLog } from "@sluice/telemetry";
import type { z } from "zod";
import type { PushStore } from "./push-store.ts";

type PushContext = Pick<Context<unknown>, "bus" | "log" | "scope">;

const sweepEveryMs = 3_600_000;
/** Where there is no key. */
const off = {
  save: { refused: "off" } satisfies PushSaved,
  list: { isOff: true, configs: [] } satisfies PushListed,
};

/** Answers for callers' webhooks; without a store, that push notifications are off. What cannot be read stays unanswered. */
export function startPush(context: PushContext, store: PushStore | undefined): void {
  const { bus, log, scope } = context;
  const ignored = createIgnoredLog(log);
  const serve = servingFor(context, ignored);
  const answer = <Schema extends z.ZodType>(
    verb: string,
    schema: Schema,
    work: (asked: z.infer<Schema>) => Promise<unknown>,
  ) =>
    serve(subjects.ask("session-manager", `push-${verb}`), async (message) => {
      const asked = read(schema, message);
      if (asked === undefined || message.reply === undefined) return ignored(`not a question for push-${verb}`);
      bus.tell(message.reply, encodeJson(await work(asked)));
    });
  answer("save", pushSaveSchema, async (push): Promise<PushSaved> => {
    if (store === undefined) return off.save;
    return (await store.save(push)) ? {} : { refused: "full" };
  });
  answer("bind", pushBindSchema, async (bound): Promise<PushBound> => ({ configs: (await store?.bind(bound)) ?? [] }));
  answer("drop", pushDropSchema, async (dropped) => ((await store?.drop(dropped)), {}));
  answer("list", pushListSchema, async (asked): Promise<PushListed> => {
    return store === undefined ? off.list : { configs: await store.list(asked) };
  });
  answer("delete", pushListSchema, async (deleted) => ((await store?.delete(deleted)), {}));
  answer("find", pushFindSchema, async (asked): Promise<PushFound> => {
    const push = await store?.find(asked);
    return push === undefined ? {} : { push };
  });
  const sweeping = setInterval(() => {
    store?.sweep().catch(() => log.debug("expired webhooks stay until the next round"));
  }, sweepEveryMs);
  scope.defer(() => clearInterval(sweeping));
}

function read<Schema extends z.ZodType>(schema: Schema, message: Incoming): z.infer<Schema> | undefined {
  try {
    return schema.safeParse(decodeJson(message.data)).data;
  } catch {
    return undefined;
  }
}
