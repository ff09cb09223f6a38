import { createHash, randomUUID } from "node:crypto";
import { chosenTask } from "./unsure.ts";
import { Fault } from "@sluice/contracts";
import { isObject, member, objectsOf, textOf, type JsonObject } from "./json-object.ts";
import { readPart, without, writePart } from "./parts.ts";
import { readPushDetails, writePushDetails } from "./send-params.ts";
import { coreState, firstState, isTerminal } from "./states.ts";
import { coreRole, coreTime, legacyRole } from "./things.ts";
import type { Around, CoreEvent, Words } from "./words.ts";

/**
 * 0.1: no ids of messages, artifacts by number, tasks by the client's ids, no message without a task, and streams of nothing
 * but updates.
 */
export const firstWords: Words = {
  readTask,
  writeTask,
  readSent: (result, around) => ({ kind: "task", value: readTask(result, around) }),
  writeSent,
  readEvent,
  writeEvents,
  readSend,
  writeSend,
  readPushConfig: ({ id, pushNotificationConfig: config, ...rest }) => ({
    ...rest,
    ...(isObject(config) && readPushDetails(config)),
    ...member("taskId", id),
  }),
  writePushConfig: ({ taskId, id: _id, ...config }) => ({
    ...member("id", taskId),
    pushNotificationConfig: writePushDetails(config),
  }),
};

function readTask(task: JsonObject, { memory, context }: Around): JsonObject {
  const { sessionId, status, artifacts, history, ...rest } = task;
  const contextId = textOf(sessionId) ?? context ?? memory.context ?? textOf(rest["id"]);
  if (contextId !== undefined) memory.heardOf(contextId);
  return {
    ...rest,
    contextId: contextId ?? "",
    status: readStatus(status, rest["id"]),
    ...(Array.isArray(artifacts) && {
      artifacts: objectsOf(artifacts).map((each, at) => readArtifact(each, at).artifact),
    }),
    ...(Array.isArray(history) && { history: objectsOf(history).map((each) => readMessage(each, rest["id"])) }),
  };
}

function writeTask(task: JsonObject, { task: named, memory }: Around): JsonObject {
  const { id, contextId, status, artifacts, history, ...rest } = task;
  return {
    ...rest,
    id: named ?? id,
    ...member("sessionId", textOf(contextId)),
    status: writeStatus(status),
    ...(Array.isArray(artifacts) && {
      artifacts: objectsOf(artifacts).map((each) => writeArtifact(each, memory.indexOf(idOf(each)))),
    }),
    ...(Array.isArray(history) && { history: objectsOf(history).map(writeMessage) }),
  };
}

/** Every send is answered with a task: a message alone is one that has been completed with it. */
function writeSent({ kind, value }: CoreEvent, around: Around): JsonObject {
  if (kind === "task") return writeTask(value, around);
  if (kind !== "message") throw new Fault("upstream_failed", "the agent answered with an update instead of a task");
  return taskOf(value, around);
}

function taskOf(message: JsonObject, { task }: Around): JsonObject {
  return {
    id: task ?? message["taskId"] ?? randomUUID(),
    ...member("sessionId", textOf(message["contextId"])),
    status: { state: "completed", message: writeMessage(message) },
  };
}

function readEvent(event: JsonObject, around: Around): CoreEvent | undefined {
  const { id, artifact, status, final: _final, ...rest } = event;
  const isTask = event["sessionId"] !== undefined || event["artifacts"] !== undefined || event["history"] !== undefined;
  if (isTask && isObject(status)) return { kind: "task", value: readTask(event, around) };
  const contextId = around.context ?? around.memory.context ?? textOf(id) ?? "";
  const about = { ...without(rest, ["taskId", "contextId"]), taskId: id, contextId };
  if (isObject(artifact)) return { kind: "artifactUpdate", value: { ...about, ...readArtifact(artifact, 0) } };
  return isObject(status) ? { kind: "statusUpdate", value: { ...about, status: readStatus(status, id) } } : undefined;
}

/** A snapshot is told as its artifacts and its status. */
function writeEvents({ kind, value }: CoreEvent, around: Around): readonly JsonObject[] {
  const { memory, task } = around;
  const id = task ?? value["taskId"] ?? value["id"];
  if (kind === "message") {
    const { status } = taskOf(value, around);
    return [{ id: id ?? randomUUID(), status, final: true }];
  }
  if (kind === "artifactUpdate") {
    const { artifact: told, append, lastChunk, metadata } = value;
    const artifact = isObject(told) ? told : {};
    const chunk = { ...member("append", append), ...member("lastChunk", lastChunk) };
    const written = { ...writeArtifact(artifact, memory.indexOf(idOf(artifact))), ...chunk };
    return [{ id, artifact: written, ...member("metadata", metadata) }];
  }
  const state = isObject(value["status"]) ? coreState(value["status"]["state"]) : undefined;
  const status = {
    id,
    status: writeStatus(value["status"]),
    final: isTerminal(state),
    ...member("metadata", value["metadata"]),
  };
  const whole = { append: false, lastChunk: true };
  const artifacts = kind === "task" ? objectsOf(value["artifacts"]) : [];
  return [
    ...artifacts.map((each) => ({ id, artifact: { ...writeArtifact(each, memory.indexOf(idOf(each))), ...whole } })),
    status,
  ];
}

/** A task that begins gets its id from the agent; one that goes on is named in the message. */
function readSend(params: JsonObject, { hasTask }: Around): JsonObject {
  const { id, sessionId, message, pushNotification, historyLength, acceptedOutputModes, ...rest } = params;
  const read = readMessage(isObject(message) ? message : {}, id);
  const configuration = {
    ...member("acceptedOutputModes", acceptedOutputModes),
    ...member("historyLength", historyLength),
    ...(isObject(pushNotification) && { taskPushNotificationConfig: readPushDetails(pushNotification) }),
  };
  return {
    ...without(rest, ["configuration", "tenant"]),
    message: {
      ...read,
      messageId: textOf(read["messageId"]) ?? randomUUID(),
      ...(hasTask && member("taskId", id)),
      ...member("contextId", textOf(sessionId)),
    },
    ...(Object.keys(configuration).length > 0 && { configuration }),
  };
}

/** Who sends the first message of a task chooses its id, and the session where the client names none: it is called like the task. */
function writeSend(params: JsonObject, _around: Around): JsonObject {
  const { message: sent, configuration, tenant: _tenant, ...rest } = params;
  const message = isObject(sent) ? sent : {};
  const settings = isObject(configuration) ? configuration : {};
  if (objectsIn(message["referenceTaskIds"])) {
    throw new Fault("unsupported_operation", "the agent speaks A2A 0.1, where a message can't refer to other tasks");
  }
  const { taskPushNotificationConfig: webhook } = settings;
  const known = textOf(message["taskId"]);
  const id = known ?? chosenTask();
  return {
    ...without(rest, ["id", "sessionId"]),
    id,
    ...member("sessionId", textOf(message["contextId"]) ?? (known === undefined ? id : undefined)),
    message: writeMessage(message),
    ...member("acceptedOutputModes", settings["acceptedOutputModes"]),
    ...member("historyLength", settings["historyLength"]),
    ...(isObject(webhook) && { pushNotification: without(writePushDetails(webhook), ["id"]) }),
  };
}

function objectsIn(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

/** The id of a message is made of what it says, so that it is the same wherever it is told again. */
function readMessage(message: JsonObject, task: unknown): JsonObject {
  const { role, parts, messageId, ...rest } = message;
  if (!Array.isArray(parts)) throw new Fault("invalid_params", '"parts" of a message must be an array');
  const made = () =>
    createHash("sha256")
      .update(JSON.stringify([task, role, parts]))
      .digest("hex")
      .slice(0, 32);
  return {
    ...without(rest, ["taskId", "contextId", "referenceTaskIds"]),
    messageId: textOf(messageId) ?? made(),
    role: coreRole(role),
    parts: parts.map((part) => readPart(part, "type")),
  };
}

function writeMessage(message: JsonObject): JsonObject {
  const { role, parts, taskId: _task, contextId: _context, referenceTaskIds: _references, ...rest } = message;
  if (!Array.isArray(parts)) throw new Fault("invalid_params", '"parts" of a message must be an array');
  return { ...rest, role: legacyRole(coreRole(role)), parts: parts.map((part) => writePart(part, "type")) };
}

function readStatus(status: unknown, task: unknown): JsonObject {
  const { state, message, timestamp, ...rest } = isObject(status) ? status : ({} as JsonObject);
  return {
    ...rest,
    state: coreState(state),
    ...(isObject(message) && { message: readMessage(message, task) }),
    ...member("timestamp", coreTime(timestamp)),
  };
}

function writeStatus(status: unknown): JsonObject {
  const { state, message, ...rest } = isObject(status) ? status : ({} as JsonObject);
  return { ...rest, state: firstState(coreState(state)), ...(isObject(message) && { message: writeMessage(message) }) };
}

/** Chunks tell by themselves where they belong; later revisions tell it beside the artifact. */
function readArtifact(artifact: JsonObject, place: number): { artifact: JsonObject } & JsonObject {
  const { index, append, lastChunk, parts, artifactId, ...rest } = artifact;
  const at = Number.isSafeInteger(index) ? Number(index) : place;
  return {
    ...member("append", append),
    ...member("lastChunk", lastChunk),
    artifact: {
      ...rest,
      artifactId: textOf(artifactId) ?? `artifact-${at}`,
      parts: (Array.isArray(parts) ? parts : []).map((part) => readPart(part, "type")),
    },
  };
}

/** The id stays beside the number, for whoever translates back. */
function writeArtifact(artifact: JsonObject, index: number): JsonObject {
  const { parts, ...rest } = artifact;
  return { ...rest, parts: (Array.isArray(parts) ? parts : []).map((part) => writePart(part, "type")), index };
}

function idOf(artifact: JsonObject): string {
  return textOf(artifact["artifactId"]) ?? "";
}
