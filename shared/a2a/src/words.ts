import type { JsonObject } from "./json-object.ts";
import type { StreamMemory } from "./stream-memory.ts";

/** An event of a stream, or what a send answers, as 1.0 wraps it. */
export interface CoreEvent {
  readonly kind: "task" | "message" | "statusUpdate" | "artifactUpdate";
  readonly value: JsonObject;
}

/** What one side of a call knows beside the document that is translated. */
export interface Around {
  /** What a client of 0.1 calls the task. */
  readonly task?: string;
  /** What the agent calls the context. */
  readonly context?: string;
  /** The agent has the task that the client names. */
  readonly hasTask: boolean;
  readonly memory: StreamMemory;
}

/** How one dialect says what 1.0 says: each function to (`write…`) or from (`read…`) 1.0's shapes. Ids are not touched. */
export interface Words {
  readTask(task: JsonObject, around: Around): JsonObject;
  writeTask(task: JsonObject, around: Around): JsonObject;
  /** What a send answers; `undefined` where it is nothing known. */
  readSent(result: JsonObject, around: Around): CoreEvent | undefined;
  writeSent(event: CoreEvent, around: Around): JsonObject;
  readEvent(event: JsonObject, around: Around): CoreEvent | undefined;
  writeEvents(event: CoreEvent, around: Around): readonly JsonObject[];
  readSend(params: JsonObject, around: Around): JsonObject;
  writeSend(params: JsonObject, around: Around): JsonObject;
  readPushConfig(config: JsonObject): JsonObject;
  writePushConfig(config: JsonObject): JsonObject;
}
