import type { A2aOperation, Dialect, Named, Renames } from "@sluice/contracts";
import type { StreamMemory } from "./stream-memory.ts";

/** A request as it is on the wire of a dialect, but for the address that it goes to. */
export interface WireRequest {
  readonly http: "GET" | "POST" | "DELETE";
  /** What stands behind the agent's address, with the query, such as `/tasks/7:cancel`, `/v1/tasks/7` of 0.3; empty for JSON-RPC. */
  readonly rest: string;
  /** Empty where there is none. */
  readonly body: Buffer;
}

/** An answer as it is on the wire of a dialect. */
export interface WireAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/** What is known of a request before it is understood: read, never changed. */
export interface ReadRequest {
  readonly dialect: Dialect;
  readonly operation: A2aOperation;
  /** The JSON-RPC id as raw JSON. */
  readonly rpcId?: string;
  readonly named: Named;
  /** The tenant that it wants at the agent (1.0 §4.4.6). */
  readonly tenant?: string;
  /** Of the first part of a message: text, file or data. */
  readonly messageKind?: string;
  /** The message or the operation is about a webhook (inline push configuration, or one of its methods). */
  readonly hasWebhook: boolean;
}

/** What an answer or an event of a stream says about a task: read, never changed. */
export interface Observed {
  readonly kind: "task" | "message" | "statusUpdate" | "artifactUpdate" | "error" | "other";
  /** The upstream's ids. */
  readonly task?: string;
  readonly context?: string;
  /** As 1.0 writes it, such as TASK_STATE_WORKING. */
  readonly state?: string;
  /** Unix milliseconds, where the status has a timestamp. */
  readonly stateAt?: number;
  /** No event follows it: a message, a terminal or interrupted state where the revision ends its streams so, `final`. */
  readonly isLast: boolean;
}

/** Both sides of a call, and what they call the same things. */
export interface Sides {
  readonly client: Dialect;
  readonly upstream: Dialect;
  readonly operation: A2aOperation;
  /** The client's JSON-RPC id as raw JSON. */
  readonly rpcId?: string;
  /** What the client's request named: a client of 0.1 knows its task by that, whatever the agent calls it. */
  readonly named?: Named;
  /** The caller has the task that `named` says (`KnownTask.task`); without it a `tasks/send` of 0.1 begins a new one. */
  readonly hasTask?: boolean;
  /** The upstream's id of the task's context, where it is known: events of 0.1 do not tell it. */
  readonly context?: string;
  readonly renames?: Renames;
  /** Of a stream: the same one for all of its events. */
  readonly memory?: StreamMemory;
}
