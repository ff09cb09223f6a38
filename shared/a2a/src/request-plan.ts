import { compile, scan, scanAsync, type ItemsOf, type JsonRange, type Path, type Plan, type Scan } from "@sluice/json";

/** Paths below the parameters that tell what a request is about; the key names the value. */
const wanted = {
  id: ["id"],
  sessionId: ["sessionId"],
  taskId: ["taskId"],
  contextId: ["contextId"],
  pushConfigId: ["pushNotificationConfigId"],
  message: ["message"],
  messageTask: ["message", "taskId"],
  messageContext: ["message", "contextId"],
  references: { path: ["message", "referenceTaskIds"], items: true },
  parts: { path: ["message", "parts"], items: true },
  content: { path: ["message", "content"], items: true },
  firstWebhook: ["pushNotification"],
  webhook: ["configuration", "pushNotificationConfig"],
  protoWebhook: ["configuration", "pushNotification"],
  taskWebhook: ["configuration", "taskPushNotificationConfig"],
  webhookTask: ["configuration", "taskPushNotificationConfig", "taskId"],
  parent: ["parent"],
  name: ["name"],
  configName: ["config", "name"],
} as const satisfies Record<string, Path | ItemsOf>;

/**
 * Other names that lenient readers (proto-JSON, some SDKs) take for one that decides whose a task is; a request that has
 * one is refused rather than understood in two ways.
 */
const aliases: readonly Path[] = [
  ["task_id"],
  ["context_id"],
  ["session_id"],
  ["request"],
  ["push_notification"],
  ["push_notification_config_id"],
  ["message", "task_id"],
  ["message", "context_id"],
  ["message", "reference_task_ids"],
  ["configuration", "push_notification"],
  ["configuration", "push_notification_config"],
  ["configuration", "task_push_notification_config"],
  ["configuration", "taskPushNotificationConfig", "task_id"],
];

export type ParamName = keyof typeof wanted;
const names = Object.keys(wanted) as ParamName[];
const places = Object.fromEntries(names.map((name, index) => [name, index])) as Record<ParamName, number>;
const envelope: readonly Path[] = [["jsonrpc"], ["id"], ["method"], ["params"]];

/** What a scan of a request found. */
export interface SeenRequest {
  readonly root: JsonRange;
  /** Of JSON-RPC: jsonrpc, id, method, params. */
  readonly envelope: readonly (JsonRange | undefined)[];
  /** Where a parameter stands. */
  readonly at: (name: ParamName) => JsonRange | undefined;
  /** The first of `aliases` that is there. */
  readonly alias: string | undefined;
}

const rpcPlan = compile([...envelope, ...below(["params"])], []);
const restPlan = compile(below([]), []);
const partPlan = compile([["kind"], ["type"], ["text"], ["raw"], ["url"], ["data"], ["file"]], []);
/** Larger bodies are read in slices, so that one of them does not hold up the others. */
const largeBytes = 256 * 1024;

/** Scans a request of JSON-RPC or, without an envelope, the body of a REST call. */
export async function scanRequest(body: Buffer, isRpc: boolean): Promise<SeenRequest | Extract<Scan, { ok: false }>> {
  const seen = await read(body, isRpc ? rpcPlan : restPlan);
  if (!seen.ok) return seen;
  const { root, values } = seen;
  const skipped = isRpc ? envelope.length : 0;
  const alias = values.findIndex((value, index) => index >= skipped + names.length && value !== undefined);
  return {
    root,
    envelope: values.slice(0, skipped),
    at: (name) => values[skipped + places[name]],
    alias: alias < 0 ? undefined : aliases[alias - skipped - names.length]?.join("."),
  };
}

/** text, file or data, as seed 001 has it. */
export async function kindOfPart(body: Buffer, part: JsonRange | undefined): Promise<string | undefined> {
  if (part?.kind !== "object") return undefined;
  const bytes = body.subarray(part.start, part.end);
  const seen = await read(bytes, partPlan);
  if (!seen.ok) return undefined;
  const [kind, type, words, bytesOf, url, data, file] = seen.values;
  for (const named of [kind, type]) {
    const said = named?.kind === "string" ? bytes.toString("utf8", named.start + 1, named.end - 1) : undefined;
    if (said === "text" || said === "file" || said === "data") return said;
  }
  if (words !== undefined) return "text";
  if (bytesOf !== undefined || url !== undefined || file !== undefined) return "file";
  return data === undefined ? undefined : "data";
}

async function read(bytes: Buffer, plan: Plan): Promise<Scan> {
  return bytes.length > largeBytes ? await scanAsync(bytes, plan) : scan(bytes, plan);
}

function below(prefix: Path): (Path | ItemsOf)[] {
  return [...Object.values(wanted), ...aliases].map((want: Path | ItemsOf) =>
    "items" in want ? { ...want, path: [...prefix, ...want.path] } : [...prefix, ...want],
  );
}
