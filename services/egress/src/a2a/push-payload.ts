import { noticesFor, type Sides } from "@sluice/a2a";
import { asBuffer, type A2aVersion, type FoundPush } from "@sluice/contracts";

/** What an agent told of a task, as far as it says so itself. */
export interface ToldTask {
  /** The agent's id of the task. */
  readonly task: string;
  /** 1.0 tells in wrapped events, revisions before it a task, or an event of one. */
  readonly isWrapped: boolean;
  /** It tells the task whole. */
  readonly isWhole: boolean;
}

type Json = Record<string, unknown>;

/** Undefined where it is about no task. */
export function readTold(body: Uint8Array): ToldTask | undefined {
  const told = objectOf(JSON.parse(asBuffer(body).toString("utf8")));
  const { task, statusUpdate, artifactUpdate, message } = told;
  const wrapped = task ?? statusUpdate ?? artifactUpdate ?? message;
  if (wrapped !== undefined) {
    const { id, taskId } = objectOf(wrapped);
    return named(task === undefined ? taskId : id, { isWrapped: true, isWhole: task !== undefined });
  }
  const { id, taskId, status } = told;
  const isWhole = taskId === undefined && status !== undefined;
  return named(isWhole ? id : (taskId ?? id), { isWrapped: false, isWhole });
}

/** What is sent to a webhook. */
export interface Notification {
  readonly body: Buffer;
  readonly contentType: string;
}

/**
 * What was told in the words of the revision that the client registered in: 1.0 has wrapped events, those before it the task.
 * The very same bytes where both sides have the same, and call everything the same. @throws Fault `upstream_failed`
 */
export function notificationsFor(
  { client, upstream, renames }: Pick<FoundPush, "client" | "upstream" | "renames">,
  { isWrapped }: ToldTask,
  told: Buffer,
): readonly Notification[] {
  const sides: Sides = {
    client: { ...client, binding: "JSONRPC" },
    upstream: { version: spokenIn(upstream.version, isWrapped), binding: "JSONRPC" },
    operation: "SubscribeToTask",
    ...(renames !== undefined && { renames }),
  };
  const contentType = client.version === "1.0" ? "application/a2a+json" : "application/json";
  return noticesFor(sides, told).map((body) => ({ body, contentType }));
}

/** What it is written in says it itself: agents of several revisions may tell in another than they were called in. */
function spokenIn(version: A2aVersion, isWrapped: boolean): A2aVersion {
  if (isWrapped) return "1.0";
  return version === "1.0" ? "0.3" : version;
}

function named(task: unknown, rest: Omit<ToldTask, "task">): ToldTask | undefined {
  return typeof task === "string" && task !== "" ? { task, ...rest } : undefined;
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null ? (value as Json) : {};
}
