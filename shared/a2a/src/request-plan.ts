import { compile, scan, scanAsync, type ItemsOf, type JsonRange, type Path, type Plan, type Scan } from "@sluice/json";
import { spellingsOf } from "./proto-names.ts";

/** Paths below the parameters that tell what a request is about; the key names the value. */
const wanted = {
  id: ["id"],
  tenant: ["tenant"],
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

/** Those of them that 1.0's proto file has another name for. */
const spelled: ReadonlySet<string> = new Set<keyof typeof wanted>([
  "taskId",
  "contextId",
  "messageTask",
  "messageContext",
  "references",
  "taskWebhook",
  "webhookTask",
]);
/** What nobody here reads, but must not be there in two spellings. */
const unread: readonly Path[] = [
  ...["historyLength", "pageSize", "pageToken", "includeArtifacts", "statusTimestampAfter"].map((name) => [name]),
  ...["acceptedOutputModes", "historyLength", "returnImmediately"].map((name) => ["configuration", name]),
  ["message", "messageId"],
];

/**
 * Other names that lenient readers (proto-JSON, some SDKs) take for one that decides whose a task is; a request that has
 * one is refused rather than understood in two ways.
 */
const aliases: readonly Path[] = [
  ["session_id"],
  ["request"],
  ["push_notification"],
  ["push_notification_config_id"],
  ["configuration", "push_notification"],
  ["configuration", "push_notification_config"],
];

export type ParamName = keyof typeof wanted;

/** A value, and where it may stand: first by its usual name, then by those of the proto file. */
interface Place {
  readonly path: Path;
  readonly spellings: readonly (Path | ItemsOf)[];
  /** Of the first of them among all values. */
  readonly at: number;
}

const envelope: readonly Path[] = [["jsonrpc"], ["id"], ["method"], ["params"]];
const places: Place[] = [];
const byName = new Map<string, Place>();
for (const [name, want] of Object.entries<Path | ItemsOf>(wanted)) byName.set(name, place(want, spelled.has(name)));
for (const path of unread) place(path, true);
const refused = aliases.map((path) => place(path, false));

/** What a scan of a request found. */
export interface SeenRequest {
  readonly root: JsonRange;
  /** Of JSON-RPC: jsonrpc, id, method, params. */
  readonly envelope: readonly (JsonRange | undefined)[];
  /** Where a parameter stands. */
  readonly at: (name: ParamName) => JsonRange | undefined;
  /** The first of `aliases` that is there. */
  readonly alias: string | undefined;
  /** The first that is there by its name in the proto file, by its usual name. */
  readonly inProto: string | undefined;
  /** The first that is there in two spellings. */
  readonly twice: string | undefined;
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
  const valuesOf = ({ at, spellings }: Place) => values.slice(skipped + at, skipped + at + spellings.length);
  const pathOf = (found: Place | undefined) => found?.path.join(".");
  const isThere = (value: JsonRange | undefined) => value !== undefined;
  return {
    root,
    envelope: values.slice(0, skipped),
    at: (name) => valuesOf(byName.get(name) as Place).find(isThere),
    alias: pathOf(refused.find((each) => valuesOf(each).some(isThere))),
    inProto: pathOf(places.find((each) => valuesOf(each).slice(1).some(isThere))),
    twice: pathOf(places.find((each) => valuesOf(each).filter(isThere).length > 1)),
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

function place(want: Path | ItemsOf, isSpelled: boolean): Place {
  const path = "items" in want ? want.path : want;
  const spellings = (isSpelled ? spellingsOf(path) : [path]).map((each) =>
    "items" in want ? { ...want, path: each } : each,
  );
  const before = places.at(-1);
  const made = { path, spellings, at: before === undefined ? 0 : before.at + before.spellings.length };
  places.push(made);
  return made;
}

function below(prefix: Path): (Path | ItemsOf)[] {
  return places.flatMap(({ spellings }) =>
    spellings.map((want) => ("items" in want ? { ...want, path: [...prefix, ...want.path] } : [...prefix, ...want])),
  );
}
