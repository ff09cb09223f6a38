import { Fault, type A2aOperation, type Dialect } from "@sluice/contracts";
import { contentTypeOf, errorAnswer, readRestError, readRpcError, type A2aError } from "./errors.ts";
import { aroundOf, wordsOf } from "./families.ts";
import { isObject, member, objectsOf, parseBody, type JsonObject } from "./json-object.ts";
import { namesTowards, renameValue } from "./names.ts";
import { shapeOf } from "./shapes.ts";
import type { Sides, WireAnswer } from "./wire.ts";
import type { Around, CoreEvent } from "./words.ts";

/** Answers and events from one dialect to another, by way of the results that 1.0 gives. */

type Outcome = { readonly result: unknown } | { readonly error: A2aError };

export function translateAnswer(sides: Sides, answer: WireAnswer): WireAnswer {
  const { client, upstream, operation, rpcId } = sides;
  const outcome = readOutcome(upstream, answer);
  if ("error" in outcome) return errorAnswer(client, outcome.error, rpcId);
  const around = aroundOf(sides);
  const core = readResult({ dialect: upstream, operation, around }, outcome.result);
  const result = writeResult({ dialect: client, operation, around }, renamed(sides, core));
  return { status: 200, contentType: contentTypeOf(client), body: envelope(client, result, rpcId) };
}

export function translateEvent(sides: Sides, data: Buffer): readonly Buffer[] {
  const { client, upstream, rpcId } = sides;
  const outcome = readEventOutcome(upstream, data);
  if ("error" in outcome) return [errorAnswer(client, outcome.error, rpcId).body];
  const around = aroundOf(sides);
  const event = isObject(outcome.result) ? wordsOf(upstream).readEvent(outcome.result, around) : undefined;
  if (event === undefined) return [];
  const events = withBeginning(sides, renamedEvent(sides, event));
  return events
    .flatMap((each) => wordsOf(client).writeEvents(each, around))
    .map((each) => envelope(client, each, rpcId));
}

/** A stream begins with its task since 0.2, also where the agent begins with what happens to it. */
function withBeginning({ client, memory }: Sides, event: CoreEvent): readonly CoreEvent[] {
  if (memory === undefined || memory.hasBegun) return [event];
  memory.begin();
  const { taskId: id, contextId, status = { state: "TASK_STATE_WORKING" } } = event.value;
  const isUpdate = event.kind === "statusUpdate" || event.kind === "artifactUpdate";
  if (client.version === "0.1" || !isUpdate || typeof id !== "string") return [event];
  return [{ kind: "task", value: { id, ...member("contextId", contextId), status } }, event];
}

/** What an agent posts to a webhook (1.0 an event, before a task), in the words that the webhook's owner knows. */
export function translateNotice(sides: Sides, body: Buffer): readonly Buffer[] {
  const around = aroundOf(sides);
  const [from, to] = [sides.upstream, sides.client].map(({ version }): Dialect => ({ version, binding: "JSONRPC" }));
  const event = wordsOf(from as Dialect).readEvent(parseBody(body, "upstream_failed"), around);
  if (event === undefined) throw new Fault("upstream_failed", "the agent's notice tells nothing that is known");
  const told = renamedEvent(sides, event);
  const words = wordsOf(to as Dialect);
  const written =
    told.kind === "task" && sides.client.version === "0.1" ? [words.writeTask(told.value, around)] : undefined;
  return (written ?? words.writeEvents(told, around)).map((each) => Buffer.from(JSON.stringify(each)));
}

interface Step {
  readonly dialect: Dialect;
  readonly operation: A2aOperation;
  readonly around: Around;
}

function readResult({ dialect, operation, around }: Step, result: unknown): unknown {
  const words = wordsOf(dialect);
  const given = isObject(result) ? result : {};
  switch (operation) {
    case "SendMessage":
    case "SendStreamingMessage":
    case "SubscribeToTask": {
      const event = words.readSent(given, around);
      if (event === undefined)
        throw new Fault("upstream_failed", "the agent answered neither with a task nor with a message");
      return { [event.kind]: event.value };
    }
    case "GetTask":
    case "CancelTask":
      return words.readTask(given, around);
    case "ListTasks":
      return { ...given, tasks: objectsOf(given["tasks"]).map((task) => words.readTask(task, around)) };
    case "CreateTaskPushNotificationConfig":
    case "GetTaskPushNotificationConfig":
      return words.readPushConfig(given);
    case "ListTaskPushNotificationConfigs":
      return Array.isArray(result)
        ? { configs: objectsOf(result).map((each) => words.readPushConfig(each)) }
        : { ...given, configs: objectsOf(given["configs"]).map((each) => words.readPushConfig(each)) };
    case "DeleteTaskPushNotificationConfig":
      return {};
    default:
      return result;
  }
}

function writeResult({ dialect, operation, around }: Step, result: unknown): unknown {
  const words = wordsOf(dialect);
  const given = isObject(result) ? result : {};
  switch (operation) {
    case "SendMessage":
    case "SendStreamingMessage":
    case "SubscribeToTask":
      return words.writeSent(eventIn(given), around);
    case "GetTask":
    case "CancelTask":
      return words.writeTask(given, around);
    case "ListTasks":
      return { ...given, tasks: objectsOf(given["tasks"]).map((task) => words.writeTask(task, around)) };
    case "CreateTaskPushNotificationConfig":
    case "GetTaskPushNotificationConfig":
      return words.writePushConfig(given);
    case "ListTaskPushNotificationConfigs": {
      const configs = objectsOf(given["configs"]).map((each) => words.writePushConfig(each));
      return dialect.version === "1.0" || dialect.binding === "HTTP+JSON" ? { ...given, configs } : configs;
    }
    case "DeleteTaskPushNotificationConfig":
      return dialect.version === "1.0" || dialect.binding === "HTTP+JSON" ? {} : null;
    default:
      return result;
  }
}

function eventIn(wrapper: JsonObject): CoreEvent {
  const [entry] = Object.entries(wrapper);
  return { kind: entry?.[0] as CoreEvent["kind"], value: entry?.[1] as JsonObject };
}

function renamed({ renames, operation }: Sides, result: unknown): unknown {
  const nameOf = namesTowards("client", renames);
  return nameOf === undefined ? result : renameValue(result, shapeOf("result", core, operation), nameOf);
}

function renamedEvent(sides: Sides, { kind, value }: CoreEvent): CoreEvent {
  const wrapper = renamed({ ...sides, operation: "SendStreamingMessage" }, { [kind]: value });
  return eventIn(wrapper as JsonObject);
}

const core: Dialect = { version: "1.0", binding: "HTTP+JSON" };

function readOutcome({ binding }: Dialect, { status, body }: WireAnswer): Outcome {
  if (binding === "HTTP+JSON") {
    if (status >= 400) return { error: readRestError(readBody(body), status) };
    return { result: body.length === 0 ? {} : parseBody(body, "upstream_failed") };
  }
  const parsed = status >= 400 ? readBody(body) : parseBody(body, "upstream_failed");
  if (parsed === undefined) return { error: readRestError(undefined, status) };
  if (parsed["error"] !== undefined && parsed["error"] !== null) return { error: readRpcError(parsed["error"]) };
  if (Object.hasOwn(parsed, "result")) return { result: parsed["result"] };
  if (status >= 400) return { error: readRestError(parsed, status) };
  throw new Fault("upstream_failed", "the agent's answer has neither a result nor an error");
}

function readEventOutcome(dialect: Dialect, data: Buffer): Outcome {
  if (dialect.binding === "JSONRPC") return readOutcome(dialect, { status: 200, contentType: "", body: data });
  const parsed = parseBody(data, "upstream_failed");
  const { error, code } = parsed;
  if (isObject(error)) return { error: readRestError(parsed, typeof error["code"] === "number" ? error["code"] : 500) };
  return typeof code === "number" ? { error: readRestError(parsed, 500) } : { result: parsed };
}

/** What comes with an error may be anything. */
function readBody(body: Buffer): JsonObject | undefined {
  try {
    return parseBody(body, "upstream_failed");
  } catch {
    return undefined;
  }
}

function envelope({ binding }: Dialect, result: unknown, rpcId: string | undefined): Buffer {
  const json = JSON.stringify(result);
  return Buffer.from(binding === "JSONRPC" ? `{"jsonrpc":"2.0","id":${rpcId ?? "null"},"result":${json}}` : json);
}
