import { Fault } from "@sluice/contracts";
import { isObject, member, objectsOf, textOf, type JsonObject } from "./json-object.ts";
import { coreState } from "./states.ts";

/** Messages, tasks and what they are made of, which 0.2 and later tell in nearly the same members. */

/** What differs between them. */
export interface Spelling {
  readonly state: (core: string) => string;
  readonly role: (core: string) => string;
  /** Where a message has its parts. */
  readonly parts: "parts" | "content";
  readonly readPart: (part: unknown) => JsonObject;
  readonly writePart: (part: unknown) => JsonObject;
  /** Objects say by `kind` what they are. */
  readonly hasKind: boolean;
}

const coreRoles = new Map<unknown, string>([
  ["user", "ROLE_USER"],
  ["agent", "ROLE_AGENT"],
  ["ROLE_USER", "ROLE_USER"],
  ["ROLE_AGENT", "ROLE_AGENT"],
  [1, "ROLE_USER"],
  [2, "ROLE_AGENT"],
]);

/** A role as 0.x writes it over JSON-RPC. */
export function legacyRole(core: string): string {
  return core === "ROLE_USER" ? "user" : "agent";
}

export function coreRole(role: unknown): string {
  const core = coreRoles.get(role);
  if (core === undefined) throw new Fault("invalid_params", "the role of a message must be the user's or the agent's");
  return core;
}

export function readMessage(spelling: Spelling, message: JsonObject): JsonObject {
  const { [spelling.parts]: parts, role, ...more } = message;
  const rest = spelling.hasKind ? withoutKind(more) : more;
  if (!Array.isArray(parts)) throw new Fault("invalid_params", `"${spelling.parts}" of a message must be an array`);
  return { ...rest, role: coreRole(role), parts: parts.map(spelling.readPart) };
}

export function writeMessage(spelling: Spelling, message: JsonObject): JsonObject {
  const { parts, role, ...rest } = message;
  if (!Array.isArray(parts)) throw new Fault("invalid_params", '"parts" of a message must be an array');
  return {
    ...kindOf(spelling, "message"),
    ...rest,
    role: spelling.role(coreRole(role)),
    [spelling.parts]: parts.map(spelling.writePart),
  };
}

export function readArtifact(spelling: Spelling, artifact: JsonObject): JsonObject {
  const { parts, ...rest } = artifact;
  return { ...rest, parts: (Array.isArray(parts) ? parts : []).map(spelling.readPart) };
}

export function writeArtifact(spelling: Spelling, artifact: JsonObject): JsonObject {
  const { parts, ...rest } = artifact;
  return { ...rest, parts: (Array.isArray(parts) ? parts : []).map(spelling.writePart) };
}

export function readStatus(spelling: Spelling, status: unknown): JsonObject {
  const { state, message, timestamp, ...rest } = isObject(status) ? status : ({} as JsonObject);
  return {
    ...rest,
    state: coreState(state),
    ...(isObject(message) && { message: readMessage(spelling, message) }),
    ...member("timestamp", coreTime(timestamp)),
  };
}

export function writeStatus(spelling: Spelling, status: unknown): JsonObject {
  const { state, message, ...rest } = isObject(status) ? status : ({} as JsonObject);
  return {
    ...rest,
    state: spelling.state(coreState(state)),
    ...(isObject(message) && { message: writeMessage(spelling, message) }),
  };
}

export function readTask(spelling: Spelling, task: JsonObject): JsonObject {
  const { status, artifacts, history, ...more } = task;
  return {
    ...(spelling.hasKind ? withoutKind(more) : more),
    status: readStatus(spelling, status),
    ...(Array.isArray(artifacts) && { artifacts: objectsOf(artifacts).map((each) => readArtifact(spelling, each)) }),
    ...(Array.isArray(history) && { history: objectsOf(history).map((each) => readMessage(spelling, each)) }),
  };
}

export function writeTask(spelling: Spelling, task: JsonObject): JsonObject {
  const { status, artifacts, history, contextId, ...rest } = task;
  return {
    ...kindOf(spelling, "task"),
    ...rest,
    contextId: textOf(contextId) ?? "",
    status: writeStatus(spelling, status),
    ...(Array.isArray(artifacts) && { artifacts: objectsOf(artifacts).map((each) => writeArtifact(spelling, each)) }),
    ...(Array.isArray(history) && { history: objectsOf(history).map((each) => writeMessage(spelling, each)) }),
  };
}

/** 1.0 wants RFC 3339, which has a zone; older agents leave it out and mean UTC. */
export function coreTime(timestamp: unknown): string | undefined {
  if (typeof timestamp !== "string" || timestamp === "") return undefined;
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(timestamp)) return timestamp;
  const inUtc = `${timestamp.replace(" ", "T")}Z`;
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(inUtc)) return inUtc;
  const at = Date.parse(timestamp);
  return Number.isFinite(at) ? new Date(at).toISOString() : undefined;
}

export function kindOf({ hasKind }: Spelling, kind: string): JsonObject {
  return hasKind ? { kind } : {};
}

export function withoutKind({ kind: _kind, ...rest }: JsonObject): JsonObject {
  return rest;
}
