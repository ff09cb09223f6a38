import { z } from "zod";
import { dialectSchema, longestA2aId, type Renames } from "./a2a.ts";

/** Push notifications of A2A (1.0 §4.3): the client's webhook stays here, the agent is told an address of the gateway's. */

/** Characters of a webhook's URL, its token and its credentials; longer ones are refused. */
export const longestWebhookText = 4_096;

const text = (most: number) => z.string().min(1).max(most);
const id = text(longestA2aId);

/** Where a client wants to be told, and what with: a secret, all of it. */
export const webhookSchema = z.object({
  url: text(longestWebhookText),
  /** For `X-A2A-Notification-Token`. */
  token: text(longestWebhookText).optional(),
  /** `Authorization` is the scheme, a space and the credentials, as the client wrote them. */
  authentication: z.object({ scheme: text(256), credentials: text(longestWebhookText).optional() }).optional(),
});
export type Webhook = z.infer<typeof webhookSchema>;

/** Of an address that an agent is told: random, and a part of its handle. */
const handleId = z.string().regex(/^[\w-]{22}$/);

const renamed = z.object({ client: id, upstream: id });

const whose = { tenant: id, identity: id, server: id };
const call = text(64);

/**
 * Asks session-manager to keep a webhook (`gw.ask.v1.session-manager.push-save`). Nothing is told to it before it is bound
 * to the task that the agent took it for, in the same `call`.
 */
export const pushSaveSchema = z.object({
  ...whose,
  call,
  /** Who registered it: the agent's id, and whether the configuration lists it (or a token said who it is). */
  agent: id,
  isListed: z.boolean(),
  id: handleId,
  /** Unix milliseconds: from then on it is not kept. */
  expiresAt: z.int(),
  /** In whose words the client is told, and the agent tells. */
  client: dialectSchema,
  upstream: dialectSchema,
  /** As the client names it; without one it is called like the task. */
  config: id.optional(),
  /** The upstream's id, where it is known already. */
  task: id.optional(),
  /** Where it is not: what the caller calls the task that it has chosen, and other names that it goes by. */
  chosenTask: id.optional(),
  renames: z
    .object({ tasks: z.array(renamed).readonly().optional(), contexts: z.array(renamed).readonly().optional() })
    .optional(),
  webhook: webhookSchema,
});
export type PushSave = z.infer<typeof pushSaveSchema>;

/** `off`: there is no key to keep it under. `full`: the task has as many as it may have. */
export interface PushSaved {
  readonly refused?: "off" | "full";
}

/** Binds what a call saved to a task (`…push-bind`): from then on the client is told. */
export const pushBindSchema = z.object({
  ...whose,
  call,
  task: id,
  /** What the caller calls the task, where that differs. */
  clientTask: id.optional(),
  /** What the agent calls the configuration. */
  upstreamConfig: id.optional(),
});
export type PushBind = z.infer<typeof pushBindSchema>;

export interface PushBound {
  /** What the caller calls the configurations that were bound. */
  readonly configs: readonly string[];
}

/** Forgets what a call saved and no task was bound to (`…push-drop`). */
export const pushDropSchema = z.object({ ...whose, call });
export type PushDrop = z.infer<typeof pushDropSchema>;

/** Asks for a task's configurations, or one of them (`…push-list`), or forgets one (`…push-delete`). */
export const pushListSchema = z.object({ ...whose, task: id, config: id.optional() });
export type PushList = z.infer<typeof pushListSchema>;

/** Without secrets, the oldest first. */
export interface PushListed {
  /** There is no key to read any with. */
  readonly isOff?: true;
  readonly configs: readonly ListedPush[];
}

export interface ListedPush {
  readonly config: string;
  readonly url: string;
  readonly scheme?: string;
  readonly upstreamConfig?: string;
}

/** Asks where to tell what an agent says of a task (`…push-find`). */
export const pushFindSchema = z.object({ id: handleId, task: id });
export type PushFind = z.infer<typeof pushFindSchema>;

/**
 * Absent: there is no such configuration any more. `foreign`: it is another task's, or that task another caller's. `pending`:
 * no task is bound to it yet.
 */
export interface PushFound {
  readonly push?: FoundPush;
}

export interface FoundPush extends Omit<PushSave, "id" | "expiresAt" | "task" | "renames"> {
  readonly is: "bound" | "pending" | "foreign";
  readonly renames?: Renames;
}

/** What stands in front of what an agent told, in the PUSH stream. */
export interface PushHead {
  readonly id: string;
  /** When it was taken; Unix milliseconds. */
  readonly at: number;
  /** W3C trace context of the request that it came in. */
  readonly traceparent?: string;
}

/** What is kept of a notification that cannot be delivered: why, and whose it was. Never a secret, never content. */
export interface PushDead {
  readonly id: string;
  readonly at: number;
  readonly reason: string;
  readonly tries: number;
  readonly bytes: number;
  readonly tenant?: string;
  readonly server?: string;
  readonly agent?: string;
  readonly task?: string;
  readonly config?: string;
  readonly host?: string;
  readonly status?: number;
}
