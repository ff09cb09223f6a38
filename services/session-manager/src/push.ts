import {
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
import { databaseOptions, type Context } from "@sluice/runtime";
import { Database } from "@sluice/runtime/postgres";
import { describeError } from "@sluice/telemetry";
import type { z } from "zod";
import type { Config } from "./config.ts";
import type { PushConfigs } from "./push-named.ts";
import { PushStore } from "./push-store.ts";
import { PushVault } from "./push-vault.ts";
import { read, type Serving } from "./serving.ts";
import { schema } from "./tasks-postgres.ts";

const sweepEveryMs = 3_600_000;
const connections = 4;

/** Admission asks for the task alone: whether it has such a configuration is said in the agent's own words. */
export const anyPushConfig: PushConfigs = { has: () => Promise.resolve(true) };

/** Where webhooks are kept; undefined without a key or a Postgres. */
export function openPush(context: Context<Config>): PushStore | undefined {
  const { config, log, scope } = context;
  const {
    DATABASE_URL,
    DATABASE_CA_FILE,
    DATABASE_CERT_FILE,
    DATABASE_KEY_FILE,
    DATABASE_TIMEOUT_MS: timeoutMs,
  } = config;
  const [key, ...older] = config.PUSH_ENCRYPTION_KEY ?? [];
  if (key === undefined || DATABASE_URL === undefined) {
    log.warn("without PUSH_ENCRYPTION_KEY and DATABASE_URL there are no push notifications");
    return undefined;
  }
  const options = databaseOptions({ DATABASE_URL, DATABASE_CA_FILE, DATABASE_CERT_FILE, DATABASE_KEY_FILE }, context);
  const limits = { connections, connectTimeoutMs: timeoutMs, queryTimeoutMs: timeoutMs };
  const database = scope.use(new Database(options, { name: "sluice-push", ...schema, ...limits }));
  const store = new PushStore(database, {
    vault: new PushVault([key, ...older]),
    mostPerTask: config.PUSH_MAX_PER_TASK,
  });
  const sweeping = setInterval(() => {
    store.sweep().catch((error: unknown) => log.debug({ error: describeError(error) }, "expired webhooks stay"));
  }, sweepEveryMs);
  scope.defer(() => clearInterval(sweeping));
  return store;
}

/** Answers for callers' webhooks; without a store, that there are no push notifications. */
export function servePush({ serve, reply, ignored }: Serving, store: PushStore | undefined): void {
  const answer = <Schema extends z.ZodType>(
    verb: string,
    form: Schema,
    work: (asked: z.infer<Schema>) => Promise<unknown>,
  ) =>
    serve(subjects.ask("session-manager", `push-${verb}`), async (message) => {
      const asked = read(form, message);
      if (asked === undefined || message.reply === undefined) return ignored(`not a question for push-${verb}`);
      reply(message.reply, encodeJson(await work(asked)));
    });
  answer("save", pushSaveSchema, async (push): Promise<PushSaved> => {
    if (store === undefined) return { refused: "off" };
    return (await store.save(push)) ? {} : { refused: "full" };
  });
  answer("bind", pushBindSchema, async (bound): Promise<PushBound> => ({ configs: (await store?.bind(bound)) ?? [] }));
  answer("drop", pushDropSchema, async (dropped) => {
    await store?.drop(dropped);
    return {};
  });
  answer("list", pushListSchema, async (asked): Promise<PushListed> => {
    return store === undefined ? { isOff: true, configs: [] } : { configs: await store.list(asked) };
  });
  answer("delete", pushListSchema, async (deleted) => {
    await store?.delete(deleted);
    return {};
  });
  answer("find", pushFindSchema, async (asked): Promise<PushFound> => {
    const push = await store?.find(asked);
    return push === undefined ? {} : { push };
  });
}
