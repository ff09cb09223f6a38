import { Fault } from "@sluice/contracts";
import { compile, explain, raw, scan, scanAsync, text, type JsonRange } from "@sluice/json";

/** What the paths of seed 001 §1 are for, and what the operation is called in each revision. */
const methods = {
  send: { "0.1": "tasks/send", "0.3": "message/send", "1.0": "SendMessage" },
  sendSubscribe: { "0.1": "tasks/sendSubscribe", "0.3": "message/stream", "1.0": "SendStreamingMessage" },
  get: { "0.1": "tasks/get", "0.3": "tasks/get", "1.0": "GetTask" },
  cancel: { "0.1": "tasks/cancel", "0.3": "tasks/cancel", "1.0": "CancelTask" },
} as const;
export type TaskPath = keyof typeof methods;
type Style = "0.1" | "0.3" | "1.0";

/** What was sent to such a path, as far as was read: a JSON-RPC message, or parameters alone. */
export interface TaskForm {
  readonly sent: Buffer;
  readonly isRpc: boolean;
  /** The message's id as raw JSON. */
  readonly rpcId: string | undefined;
  readonly values: readonly (JsonRange | undefined)[];
}

const largeBytes = 256 * 1024;
const plan = compile(
  [
    ["jsonrpc"],
    ["method"],
    ["id"],
    ["message"],
    ["message", "kind"],
    ["message", "messageId"],
    { path: ["message", "parts"], items: true },
  ],
  [],
);
const partPlan = compile([["type"], ["kind"]], []);

/** @throws Fault `parse_error` or `invalid_request` for what is no JSON object */
export async function readTaskForm(sent: Buffer): Promise<TaskForm> {
  const seen = sent.length > largeBytes ? await scanAsync(sent, plan) : scan(sent, plan);
  if (!seen.ok) throw new Fault("parse_error", explain(seen.error));
  if (seen.root.kind !== "object") throw new Fault("invalid_request", "send one JSON object");
  const { values } = seen;
  const [jsonrpc, method, id] = values;
  const isRpc = jsonrpc !== undefined || method !== undefined;
  const isId = isRpc && (id?.kind === "string" || id?.kind === "number");
  return { sent, isRpc, rpcId: isId ? raw(sent, id).toString("utf8") : undefined, values };
}

/**
 * The JSON-RPC message that a form is, whose method has to be the path's, or that its parameters stand for.
 * @param version as the client named it
 * @throws Fault `invalid_request`
 */
export function taskMessage(path: TaskPath, { sent, isRpc, values }: TaskForm, version: string | undefined): Buffer {
  const [, method, id, message] = values;
  if (isRpc) {
    if (Object.values<string | undefined>(methods[path]).includes(text(sent, method))) return sent;
    throw new Fault("invalid_request", `this path is for tasks/${path} alone: send other methods to the agent's own`);
  }
  const sends = path === "send" || path === "sendSubscribe";
  if (sends && message?.kind !== "object") throw new Fault("invalid_request", 'send "message" as an object');
  if (!sends && id?.kind !== "string") throw new Fault("invalid_request", 'send "id" as a string');
  const style = styleNamed(version) ?? (sends ? styleOf(sent, values) : "0.3");
  const start = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"${methods[path][style]}","params":`);
  return Buffer.concat([start, sent, Buffer.from("}")]);
}

/** The parameters in a query, as they would be in a body. @throws Fault `invalid_request` */
export function formOfQuery(query: URLSearchParams): Buffer {
  const id = query.get("id");
  const length = query.get("historyLength");
  if (id === null) throw new Fault("invalid_request", "name the task: ?id=…");
  if (length !== null && !/^\d{1,9}$/.test(length))
    throw new Fault("invalid_request", "historyLength must be a whole number");
  return Buffer.from(JSON.stringify({ id, ...(length !== null && { historyLength: Number(length) }) }));
}

function styleNamed(version: string | undefined): Style | undefined {
  if (version === undefined) return undefined;
  if (version.startsWith("0.1")) return "0.1";
  return version.startsWith("0.") ? "0.3" : "1.0";
}

/** Parts have a `type` in 0.1, a `kind` in 0.2 and 0.3, and neither in 1.0. */
function styleOf(sent: Buffer, values: readonly (JsonRange | undefined)[]): Style {
  const [, , id, , kind, messageId, parts] = values;
  if (kind !== undefined) return "0.3";
  const [first] = parts?.items ?? [];
  if (first !== undefined) {
    const seen = scan(raw(sent, first), partPlan);
    const [partType, partKind] = seen.ok ? seen.values : [];
    if (partKind !== undefined) return "0.3";
    if (partType !== undefined) return "0.1";
  }
  return id !== undefined && messageId === undefined ? "0.1" : "1.0";
}
