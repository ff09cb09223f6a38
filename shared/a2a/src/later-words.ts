import { isObject, member, textOf, type JsonObject } from "./json-object.ts";
import { readPart, readProtoPart, writePart, writeProtoPart } from "./parts.ts";
import { readConfiguration, readPushDetails, writeConfiguration, writePushDetails } from "./send-params.ts";
import { coreState, isTerminal, legacyState, protoState } from "./states.ts";
import {
  kindOf,
  legacyRole,
  readArtifact,
  readMessage,
  readStatus,
  readTask,
  withoutKind,
  writeArtifact,
  writeMessage,
  writeStatus,
  writeTask,
  type Spelling,
} from "./things.ts";
import type { CoreEvent, Words } from "./words.ts";

const legacy: Spelling = {
  state: legacyState,
  role: legacyRole,
  parts: "parts",
  readPart: (part) => readPart(part, "kind"),
  writePart: (part) => writePart(part, "kind"),
  hasKind: true,
};
const proto: Spelling = {
  state: protoState,
  role: (core) => core,
  parts: "content",
  readPart: readProtoPart,
  writePart: writeProtoPart,
  hasKind: false,
};

/** 0.2 and 0.3 over JSON-RPC: things that say what they are by `kind`. */
export const legacyWords: Words = {
  ...common(legacy, "pushNotificationConfig"),
  readSent: readLegacy,
  writeSent: writeLegacy,
  readEvent: readLegacy,
  writeEvents: (event) => [writeLegacy(event)],
  readPushConfig: ({ pushNotificationConfig: config, taskId, ...rest }) => ({
    ...rest,
    ...(isObject(config) && readPushDetails(config)),
    ...member("taskId", taskId),
  }),
  writePushConfig: ({ taskId, ...config }) => ({
    ...member("taskId", taskId),
    pushNotificationConfig: writePushDetails(config),
  }),
};

/** 0.3 over REST: proto-JSON, with wrappers. */
export const protoWords: Words = {
  ...common(proto, "pushNotification"),
  readSent: readProto,
  writeSent: writeProto,
  readEvent: readProto,
  writeEvents: (event) => [writeProto(event)],
  readPushConfig: readProtoPush,
  writePushConfig: writeProtoPush,
};

type SendWords = Pick<Words, "readTask" | "writeTask" | "readSend" | "writeSend">;

function common(spelling: Spelling, webhook: "pushNotificationConfig" | "pushNotification"): SendWords {
  return {
    readTask: (task) => readTask(spelling, task),
    writeTask: (task) => writeTask(spelling, task),
    readSend: ({ message, configuration, ...rest }) => ({
      ...rest,
      message: readMessage(spelling, isObject(message) ? message : {}),
      ...member("configuration", readConfiguration(configuration, webhook)),
    }),
    writeSend: ({ message, configuration, tenant: _tenant, ...rest }) => ({
      ...rest,
      message: writeMessage(spelling, isObject(message) ? message : {}),
      configuration: writeConfiguration(configuration, webhook),
    }),
  };
}

function readLegacy(thing: JsonObject): CoreEvent | undefined {
  const kind = kindSaid(thing);
  if (kind === "task") return { kind, value: readTask(legacy, thing) };
  if (kind === "message") return { kind, value: readMessage(legacy, thing) };
  if (kind === "statusUpdate") return { kind, value: readStatusUpdate(legacy, withoutKind(thing)) };
  if (kind === "artifactUpdate") return { kind, value: readArtifactUpdate(legacy, withoutKind(thing)) };
  return undefined;
}

/** Some agents leave out `kind`: then the members tell. */
function kindSaid(thing: JsonObject): CoreEvent["kind"] | undefined {
  const { kind } = thing;
  if (kind === "task" || kind === "message") return kind;
  if (kind === "status-update") return "statusUpdate";
  if (kind === "artifact-update" || isObject(thing["artifact"])) return "artifactUpdate";
  if (isObject(thing["status"])) return thing["taskId"] === undefined ? "task" : "statusUpdate";
  return Array.isArray(thing["parts"]) ? "message" : undefined;
}

function writeLegacy({ kind, value }: CoreEvent): JsonObject {
  if (kind === "task") return writeTask(legacy, value);
  if (kind === "message") return writeMessage(legacy, value);
  return kind === "statusUpdate" ? writeStatusUpdate(legacy, value) : writeArtifactUpdate(legacy, value);
}

function readProto(wrapper: JsonObject): CoreEvent | undefined {
  const { task, statusUpdate, artifactUpdate } = wrapper;
  const message = wrapper["message"] ?? wrapper["msg"];
  if (isObject(task)) return { kind: "task", value: readTask(proto, task) };
  if (isObject(message)) return { kind: "message", value: readMessage(proto, message) };
  if (isObject(statusUpdate)) return { kind: "statusUpdate", value: readStatusUpdate(proto, statusUpdate) };
  return isObject(artifactUpdate)
    ? { kind: "artifactUpdate", value: readArtifactUpdate(proto, artifactUpdate) }
    : undefined;
}

function writeProto({ kind, value }: CoreEvent): JsonObject {
  if (kind === "task") return { task: writeTask(proto, value) };
  if (kind === "message") return { message: writeMessage(proto, value) };
  return kind === "statusUpdate"
    ? { statusUpdate: writeStatusUpdate(proto, value) }
    : { artifactUpdate: writeArtifactUpdate(proto, value) };
}

function readStatusUpdate(spelling: Spelling, { final: _final, status, ...rest }: JsonObject): JsonObject {
  return { ...rest, status: readStatus(spelling, status) };
}

/** `final` where the task has ended: a stream that only waits for its client may go on. */
function writeStatusUpdate(spelling: Spelling, { status, contextId, ...rest }: JsonObject): JsonObject {
  const state = isObject(status) ? coreState(status["state"]) : undefined;
  return {
    ...kindOf(spelling, "status-update"),
    ...rest,
    contextId: textOf(contextId) ?? "",
    status: writeStatus(spelling, status),
    final: isTerminal(state),
  };
}

function readArtifactUpdate(spelling: Spelling, { artifact, ...rest }: JsonObject): JsonObject {
  return { ...rest, artifact: readArtifact(spelling, isObject(artifact) ? artifact : {}) };
}

function writeArtifactUpdate(spelling: Spelling, { artifact, contextId, ...rest }: JsonObject): JsonObject {
  return {
    ...kindOf(spelling, "artifact-update"),
    ...rest,
    contextId: textOf(contextId) ?? "",
    artifact: writeArtifact(spelling, isObject(artifact) ? artifact : {}),
  };
}

/** As a result `{name, pushNotificationConfig}`; in a request also with `{parent, configId, config}` around. */
function readProtoPush(given: JsonObject): JsonObject {
  const { parent, configId, config, ...plain } = given;
  const { name, pushNotificationConfig, ...rest } = isObject(config) ? config : plain;
  const [, ofName, configOfName] = /^tasks\/([^/]+)\/pushNotificationConfigs\/(.+)$/.exec(textOf(name) ?? "") ?? [];
  const ofParent = /^tasks\/([^/]+)$/.exec(textOf(parent) ?? "")?.[1];
  const details = isObject(pushNotificationConfig) ? readPushDetails(pushNotificationConfig) : {};
  const id = textOf(details["id"]) ?? textOf(configId) ?? configOfName;
  return { ...rest, ...details, ...member("id", id), ...member("taskId", ofParent ?? ofName) };
}

function writeProtoPush({ taskId, ...config }: JsonObject): JsonObject {
  const id = textOf(config["id"]) ?? "";
  return {
    name: `tasks/${textOf(taskId) ?? ""}/pushNotificationConfigs/${id}`,
    pushNotificationConfig: writePushDetails(config),
  };
}
