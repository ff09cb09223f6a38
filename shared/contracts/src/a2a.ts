import { z } from "zod";
import type { FaultKind } from "./faults.ts";

/** What A2A calls of any revision and binding have in common on the bus (https://a2a-protocol.org/latest/specification). */

/** Revisions, by what is on the wire: patch digits do not count, and 0.2.x is one of them. */
export const a2aVersions = ["0.1", "0.2", "0.3", "1.0"] as const;
export type A2aVersion = (typeof a2aVersions)[number];

/** The bindings that are served, named as cards of 1.0 name them; gRPC is not. */
export const a2aBindings = ["JSONRPC", "HTTP+JSON"] as const;
export type A2aBinding = (typeof a2aBindings)[number];

/** How one side speaks. */
export const dialectSchema = z.object({ version: z.enum(a2aVersions), binding: z.enum(a2aBindings) });
export type Dialect = z.infer<typeof dialectSchema>;

/**
 * What a call does, whatever the revision and binding call it: the names of 1.0 (§9.4). Policy, limits and the audit trail
 * know calls by these.
 */
export const a2aOperations = [
  "SendMessage",
  "SendStreamingMessage",
  "GetTask",
  "CancelTask",
  "ListTasks",
  "SubscribeToTask",
  "CreateTaskPushNotificationConfig",
  "GetTaskPushNotificationConfig",
  "ListTaskPushNotificationConfigs",
  "DeleteTaskPushNotificationConfig",
  "GetExtendedAgentCard",
  "GetAgentCard",
] as const;
export type A2aOperation = (typeof a2aOperations)[number];

const streamed: ReadonlySet<A2aOperation> = new Set(["SendStreamingMessage", "SubscribeToTask"]);
const readings: ReadonlySet<A2aOperation> = new Set([
  "GetTask",
  "ListTasks",
  "GetTaskPushNotificationConfig",
  "ListTaskPushNotificationConfigs",
  "GetExtendedAgentCard",
  "GetAgentCard",
]);

/** Whether such a call is answered with a stream of events. */
export function isStreamed(operation: A2aOperation): boolean {
  return streamed.has(operation);
}

/** Whether such a call changes nothing at the agent, so that it may end with its client. */
export function isReading(operation: A2aOperation): boolean {
  return readings.has(operation);
}

/** Characters of a task's, context's or push configuration's id; a longer one is refused. */
export const longestA2aId = 256;
/** Tasks that one message may refer to. */
export const maxReferences = 64;

const id = z.string().min(1).max(longestA2aId);

/** What a call names, in its caller's own words: session-manager says whether it is the caller's. */
export const namedSchema = z.object({
  task: id.optional(),
  context: id.optional(),
  references: z.array(id).max(maxReferences).optional(),
  pushConfig: id.optional(),
  /** A task of this id is made where the caller has none: clients of 0.1 choose their ids. */
  mayBeNew: z.literal(true).optional(),
});
export type Named = z.infer<typeof namedSchema>;

/** What the audit trail and those who admit learn of an A2A call beside what every call has. Never content. */
export const a2aIntentSchema = z.object({
  ...dialectSchema.shape,
  ...namedSchema.shape,
  /** Of the first part of the message: text, file or data (seed 001 §5 `messageKind`). */
  messageKind: z.string().max(32).optional(),
});
export type A2aIntent = z.infer<typeof a2aIntentSchema>;

/** One name in the words of the caller and in those of the upstream. Most are the same, and stand nowhere. */
export interface Renamed {
  readonly client: string;
  readonly upstream: string;
}

/** The names that differ between the two sides. */
export interface Renames {
  readonly tasks?: readonly Renamed[];
  readonly contexts?: readonly Renamed[];
}

/** The one subscription to a task that is open at its agent, and the stream that its events go into. */
export interface TaskWatch {
  /** The egress replica that has it. */
  readonly egress: string;
  /** `<instance>.<number>`, as in `subjects.stream`. */
  readonly stream: string;
}

/** What the caller calls what the upstream calls so; the same where nothing else is said. */
export function clientNameOf(upstream: string, names: Renames[keyof Renames]): string {
  return names?.find((renamed) => renamed.upstream === upstream)?.client ?? upstream;
}

/** What the upstream calls what the caller calls so; the same where nothing else is said. */
export function upstreamNameOf(client: string, names: Renames[keyof Renames]): string {
  return names?.find((renamed) => renamed.client === client)?.upstream ?? client;
}

/** What session-manager knows of what a call names; all of it is the caller's. */
export interface KnownTask {
  /** Of `Named.task`: absent where the caller has no such task and may make it. */
  readonly task?: {
    /** The upstream's id. */
    readonly id: string;
    /** The upstream's id of its context. */
    readonly context?: string;
    readonly state?: string;
    readonly watch?: TaskWatch;
  };
  readonly renames?: Renames;
}

/** Beside what each call tells egress. */
export interface A2aCall {
  /** How the client speaks; the body is as it came. */
  readonly dialect: Dialect;
  /** It is worded alike in 0.1 to 0.3, and nothing says which of them it is. */
  readonly isUnsure?: true;
  readonly operation: A2aOperation;
  /** Of a REST call: what stands behind the agent's address, as it came, with the query: `/tasks/7:cancel?x=1`. */
  readonly rest?: string;
  readonly named: Named;
  /** The tenant that the client wants at the agent; which one it gets is not the client's choice. */
  readonly tenant?: string;
  readonly known?: KnownTask;
  /** Somebody who reads asks again, because the stream is over before the task is. */
  readonly again?: {
    /** The watch that is no more. */
    readonly gone?: TaskWatch;
    /** Pieces of streams that came so far by this call: its audit trail goes on behind them. */
    readonly events: number;
    /** Whatever the task is by now is wanted, also that it has ended; else that is the agent's to tell. */
    readonly isMoved: boolean;
  };
  /** `A2A-Extensions` as the client sent it. */
  readonly extensions?: string;
  /** Where agents reach this gateway, without a slash at the end. */
  readonly publicUrl?: string;
}

/** Asks egress for an agent's card (`gw.ask.v1.egress.card`). */
export interface CardQuestion {
  readonly tenant: string;
  /** The name of its endpoint. */
  readonly agent: string;
  readonly traceparent: string;
}

/** What egress says in front of the card itself; behind a fault there is none. */
export interface CardAnswer {
  readonly fault?: { readonly kind: FaultKind; readonly message: string };
  /** The agent's own signature is a bad one: the gateway does not vouch for the card. */
  readonly isDoubtful?: true;
}

/** Asks session-manager to keep whose a task is, before anybody learns of it (`gw.ask.v1.session-manager.tasks-register`). */
export interface TaskRegister {
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
  /** The upstream's ids. */
  readonly task?: string;
  readonly context?: string;
  /** What the caller calls them, where that differs: as the verdict said. */
  readonly renames?: Renames;
  /** `TASK_STATE_*`, and since when, where it is known; Unix milliseconds. */
  readonly state?: string;
  readonly stateAt?: number;
  readonly watch?: TaskWatch;
}

/** `ok: false` where the task or the context is another caller's: what the upstream answered must not go on. */
export interface TaskRegistered {
  readonly ok: boolean;
}

/** Takes over the subscription to a task (`…tasks-watch`): with `watch` where the present one is `expected`; without, gives it up. */
export interface TaskWatchChange {
  readonly tenant: string;
  readonly server: string;
  readonly task: string;
  readonly expected?: TaskWatch;
  readonly watch?: TaskWatch;
}

export interface TaskWatched {
  readonly ok: boolean;
  /** Who has it, where the change was not made. */
  readonly watch?: TaskWatch;
}

/** A page of a caller's own tasks, the one whose state changed last first (`…tasks-list`). */
export interface TaskListQuestion {
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
  /** In the caller's words. */
  readonly context?: string;
  readonly state?: string;
  /** Only those whose state changed then or later; Unix milliseconds. */
  readonly since?: number;
  readonly limit: number;
  /** As the page before said. */
  readonly cursor?: string;
}

export interface TaskList {
  readonly tasks: readonly { readonly id: string; readonly state?: string; readonly renames?: Renames }[];
  readonly total: number;
  readonly cursor?: string;
  /** The cursor was none of this question's. */
  readonly isBadCursor?: true;
}
