import { Fault, type A2aOperation, type Dialect } from "@sluice/contracts";
import { isRawNumber } from "@sluice/json";
import { aroundOf, wordsOf } from "./families.ts";
import { isObject, member, parseBody, textOf, type JsonObject } from "./json-object.ts";
import { methodName } from "./methods.ts";
import { namesTowards, renameValue } from "./names.ts";
import { without } from "./parts.ts";
import { usualNames } from "./proto-names.ts";
import { readRest, writeRest, type RestTarget } from "./rest-target.ts";
import { shapeOf } from "./shapes.ts";
import { coreState, protoState } from "./states.ts";
import type { Sides, WireRequest } from "./wire.ts";
import type { Around } from "./words.ts";

/** Requests from one dialect to another, by way of the parameters that 1.0 gives its JSON-RPC methods. */

interface Step {
  readonly dialect: Dialect;
  readonly operation: A2aOperation;
  readonly around: Around;
}

export function translateRequest(sides: Sides, request: WireRequest): WireRequest {
  const { upstream, operation } = sides;
  const around = aroundOf(sides);
  return writeParams({ dialect: upstream, operation, around }, coreParams(sides, request), sides.rpcId);
}

/** What a request asks for, as 1.0 names it, in the upstream's ids. */
export function coreParams(sides: Omit<Sides, "upstream">, request: WireRequest): JsonObject {
  const { client, operation, renames } = sides;
  const params = readParams({ dialect: client, operation, around: aroundOf(sides) }, request);
  const nameOf = namesTowards("upstream", renames);
  const core: Dialect = { version: "1.0", binding: "HTTP+JSON" };
  return nameOf === undefined
    ? params
    : (renameValue(params, shapeOf("params", core, operation), nameOf) as JsonObject);
}

/** What a request asks for, as the parameters of 1.0. */
function readParams(step: Step, request: WireRequest): JsonObject {
  const { dialect, operation, around } = step;
  const isRpc = dialect.binding === "JSONRPC";
  const body = request.body.length === 0 ? {} : parseBody(request.body, "parse_error");
  const sent = isRpc ? (isObject(body["params"]) ? body["params"] : {}) : body;
  const given = dialect.version === "1.0" ? usualNames(sent) : sent;
  const words = wordsOf(dialect);
  const target = isRpc ? undefined : readRest(dialect.version, request.http, request.rest);
  const tenant = member("tenant", target?.tenant);
  if (isSend(operation)) return { ...words.readSend(given, around), ...tenant };
  if (operation === "CreateTaskPushNotificationConfig") {
    const config = words.readPushConfig(given);
    return { ...config, ...tenant, ...member("taskId", target?.task) };
  }
  if (target !== undefined) return { ...readQuery(target), ...given, ...idsOf(target), ...tenant };
  if (!isPush(operation) || dialect.version === "1.0") return given;
  const { id, pushNotificationConfigId, ...rest } = given;
  return { ...rest, ...member("taskId", id), ...member("id", pushNotificationConfigId) };
}

function writeParams(step: Step, params: JsonObject, rpcId: string | undefined): WireRequest {
  const { dialect, operation, around } = step;
  const words = wordsOf(dialect);
  if (dialect.binding === "HTTP+JSON") return writeRestCall(step, params);
  const method = methodName(dialect.version, operation);
  let written = dialect.version === "1.0" ? params : without(params, ["tenant"]);
  if (isSend(operation)) written = words.writeSend(params, around);
  else if (operation === "CreateTaskPushNotificationConfig") written = words.writePushConfig(params);
  else if (isPush(operation) && dialect.version !== "1.0") {
    const { taskId, id, tenant: _tenant, ...rest } = params;
    const isFirst = dialect.version === "0.1";
    written = { ...rest, id: taskId, ...(isFirst ? {} : member("pushNotificationConfigId", id)) };
  }
  if (dialect.version !== "1.0" && dialect.version !== "0.1" && operation === "SendStreamingMessage")
    written = unblocked(written);
  const body = `{"jsonrpc":"2.0","id":${rpcId ?? "1"},"method":"${method}","params":${JSON.stringify(written)}}`;
  return { http: "POST", rest: "", body: Buffer.from(body) };
}

/** Whether to wait says nothing about a stream. */
function unblocked({ configuration, ...rest }: JsonObject): JsonObject {
  if (!isObject(configuration)) return rest;
  const { blocking: _blocking, ...told } = configuration;
  return { ...rest, ...(Object.keys(told).length > 0 && { configuration: told }) };
}

function writeRestCall({ dialect, operation, around }: Step, params: JsonObject): WireRequest {
  const words = wordsOf(dialect);
  const { tenant, taskId, id, ...rest } = params;
  const target: RestTarget = {
    operation,
    ...member("tenant", textOf(tenant)),
    ...member("task", textOf(isPush(operation) ? taskId : id)),
    ...(isPush(operation) && member("pushConfig", textOf(id))),
    query: new URLSearchParams(),
  };
  const has = (body: JsonObject) => ({
    ...writeRest(dialect.version, target),
    body: Buffer.from(JSON.stringify(body)),
  });
  if (isSend(operation)) {
    const written = words.writeSend(without(params, ["tenant"]), around);
    return has(dialect.version !== "1.0" && operation === "SendStreamingMessage" ? unblocked(written) : written);
  }
  if (operation === "CancelTask") return has(rest);
  if (operation === "CreateTaskPushNotificationConfig") {
    const config = words.writePushConfig(without(params, ["tenant"]));
    if (dialect.version === "1.0") return has(config);
    return has({ parent: `tasks/${textOf(taskId) ?? ""}`, configId: textOf(id) ?? "", config });
  }
  writeQuery({ dialect, operation, around }, rest, target.query);
  return { ...writeRest(dialect.version, target), body: Buffer.alloc(0) };
}

const numbers = new Set(["historyLength", "pageSize"]);
const flags = new Set(["includeArtifacts"]);

/** Query parameters are members, as strings (1.0 §11.5). */
function readQuery({ query }: RestTarget): JsonObject {
  const members = [...query].flatMap(([name, value]): [string, unknown][] => {
    if (name === "A2A-Version" || value === "") return [];
    if (numbers.has(name)) return [[name, readNumber(name, value)]];
    if (flags.has(name)) return [[name, value === "true"]];
    return [[name, name === "status" ? coreState(value) : value]];
  });
  return Object.fromEntries(members);
}

function readNumber(name: string, value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new Fault("invalid_params", `"${name}" must be a whole number`);
  return Number(value);
}

/** Query parameters that an operation has; whatever else stood there could name another task than the path. */
const asked: Readonly<Partial<Record<A2aOperation, ReadonlySet<string>>>> = {
  GetTask: new Set(["historyLength"]),
  ListTasks: new Set([
    ...["contextId", "status", "pageSize", "pageToken", "historyLength"],
    ...["statusTimestampAfter", "lastUpdatedAfter", "includeArtifacts"],
  ]),
  ListTaskPushNotificationConfigs: new Set(["pageSize", "pageToken"]),
};

function writeQuery({ dialect: { version }, operation }: Step, params: JsonObject, query: URLSearchParams): void {
  for (const [name, value] of Object.entries(params)) {
    if (asked[operation]?.has(name) !== true) continue;
    if (name === "status" && version !== "1.0") query.set(name, protoState(coreState(value)));
    else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      query.set(name, String(value));
    else if (isRawNumber(value)) query.set(name, JSON.stringify(value));
  }
}

function idsOf({ operation, task, pushConfig }: RestTarget): JsonObject {
  if (isPush(operation)) return { ...member("taskId", task), ...member("id", pushConfig) };
  return member("id", task);
}

function isSend(operation: A2aOperation): boolean {
  return operation === "SendMessage" || operation === "SendStreamingMessage";
}

function isPush(operation: A2aOperation): boolean {
  return operation.includes("PushNotification");
}
