import type { A2aOperation, Dialect } from "@sluice/contracts";
import { isElements, messageShape, taskShape, type Shape } from "./names.ts";
import { protoName } from "./proto-names.ts";

/** Where the names of tasks and contexts stand in requests and answers of each dialect. */

const configuration: Shape = {
  taskPushNotificationConfig: { taskId: "task" },
  pushNotificationConfig: { taskId: "task" },
};
const send: Shape = { message: messageShape, configuration };
const firstRevision: Shape = { id: "task", sessionId: "context" };
const byTask: Shape = { id: "task" };
const pushConfig: Shape = { taskId: "task" };
const legacyPush: Shape = { id: "task", taskId: "task" };
const protoPush: Shape = { parent: "taskPath", name: "taskPath", config: { name: "taskPath" } };

const wrapped: Shape = {
  task: taskShape,
  message: messageShape,
  msg: messageShape,
  statusUpdate: taskShape,
  artifactUpdate: taskShape,
};
/** A task, a message, an event or a push configuration of 0.2 and 0.3. */
const direct: Shape = { ...taskShape, referenceTaskIds: ["task"] };
const firstTask: Shape = { id: "task", sessionId: "context" };

const isPush = (operation: A2aOperation) => operation.includes("PushNotification");

/** Of the parameters of a request: JSON-RPC's `params` or the body of REST. */
function paramsShape({ version, binding }: Dialect, operation: A2aOperation): Shape {
  if (version === "0.1") return firstRevision;
  if (isPush(operation)) {
    if (version !== "1.0") return binding === "JSONRPC" ? legacyPush : protoPush;
    return pushConfig;
  }
  if (operation === "SendMessage" || operation === "SendStreamingMessage") return send;
  return operation === "ListTasks" ? { contextId: "context" } : byTask;
}

/** Of a result: JSON-RPC's `result` or the body of REST. */
function resultShape({ version, binding }: Dialect, operation: A2aOperation): Shape | readonly [Shape] {
  if (version === "0.1") return firstTask;
  const isProto = binding === "HTTP+JSON";
  if (isPush(operation)) {
    if (version === "1.0") return { ...pushConfig, configs: [pushConfig] };
    if (isProto) return { ...protoPush, configs: [protoPush] };
    return operation === "ListTaskPushNotificationConfigs" ? [pushConfig] : pushConfig;
  }
  if (operation === "ListTasks") return { tasks: [taskShape] };
  if (version !== "1.0" && !isProto) return direct;
  return operation === "GetTask" || operation === "CancelTask" ? taskShape : wrapped;
}

/** Of what an agent posts to a webhook. */
export function noticeShape({ version }: Dialect): Shape {
  if (version === "0.1") return firstTask;
  return version === "1.0" ? wrapped : direct;
}

/** Of 1.0 by both names that a member may have in a request. */
function spelled(dialect: Dialect, operation: A2aOperation): Shape {
  const shape = paramsShape(dialect, operation);
  return dialect.version === "1.0" ? withProtoNames(shape) : shape;
}

function withProtoNames(shape: Shape): Shape {
  const entries = Object.entries(shape).flatMap(([name, inner]) => {
    const both = typeof inner === "string" || isElements(inner) ? inner : withProtoNames(inner);
    return [name, protoName(name)].map((each) => [each, both] as const);
  });
  return Object.fromEntries(entries);
}

const rpcShapes = new Map<string, Shape>();

/** A shape that is the same object each time, so that it is compiled once. */
export function shapeOf(part: "params" | "result", dialect: Dialect, operation: A2aOperation): Shape {
  const key = `${part} ${dialect.version} ${dialect.binding} ${operation}`;
  const known = rpcShapes.get(key);
  if (known !== undefined) return known;
  const inner = part === "params" ? spelled(dialect, operation) : resultShape(dialect, operation);
  const made: Shape = dialect.binding === "JSONRPC" ? { [part]: inner } : (inner as Shape);
  rpcShapes.set(key, made);
  return made;
}
