import {
  Fault,
  longestA2aId,
  maxReferences,
  type A2aOperation,
  type A2aVersion,
  type Dialect,
  type Named,
} from "@sluice/contracts";
import { explain, raw, text, type JsonRange } from "@sluice/json";
import { methodNamed, readVersion } from "./methods.ts";
import { kindOfPart, scanRequest, type ParamName, type SeenRequest } from "./request-plan.ts";
import { saidTwice } from "./proto-names.ts";
import { readRest, restVersion, type RestTarget } from "./rest-target.ts";
import type { ReadRequest, WireRequest } from "./wire.ts";

/** A request that is refused before it is understood, and how its sender is to be answered. */
export class UnreadRequest extends Fault {
  readonly dialect: Dialect;
  /** The JSON-RPC id as raw JSON, where it could be read. */
  readonly rpcId: string | undefined;

  constructor(fault: Fault, dialect: Dialect, rpcId: string | undefined) {
    super(fault.kind, fault.message, { details: fault.details, cause: fault.cause });
    this.dialect = dialect;
    this.rpcId = rpcId;
  }
}

type Request = WireRequest & { readonly version?: string };
/** What is known so far, for the answer to a request that is refused. */
interface Draft {
  dialect: Dialect;
  rpcId?: string;
}

const longestRpcId = 256;

/**
 * Which dialect a request is in, and what it is about. `version` is `A2A-Version`, where the client sent one.
 * @throws UnreadRequest
 */
export async function readRequest(request: Request): Promise<ReadRequest> {
  const isRpc = request.rest === "";
  const draft: Draft = {
    dialect: isRpc
      ? { version: "0.3", binding: "JSONRPC" }
      : { version: restVersion(request.rest), binding: "HTTP+JSON" },
  };
  try {
    return await (isRpc ? readRpc(request, draft) : readRestCall(request, draft));
  } catch (thrown) {
    if (thrown instanceof Fault) throw new UnreadRequest(thrown, draft.dialect, draft.rpcId);
    throw thrown;
  }
}

async function readRpc(request: Request, draft: Draft): Promise<ReadRequest> {
  const { body } = request;
  if (request.version?.trim().startsWith("1.") === true) draft.dialect = { version: "1.0", binding: "JSONRPC" };
  const seen = await scanRequest(body, true);
  if ("error" in seen) throw new Fault("parse_error", explain(seen.error));
  if (seen.root.kind === "array") {
    throw new Fault("invalid_request", "batches are not accepted: send one message per request");
  }
  const [jsonrpc, id, method, params] = seen.envelope;
  const rpcId = readRpcId(body, id);
  if (rpcId !== undefined) draft.rpcId = rpcId;
  if (text(body, jsonrpc) !== "2.0") {
    throw new Fault("invalid_request", 'the body is no JSON-RPC message: "jsonrpc" must be "2.0"');
  }
  const name = text(body, method);
  if (name === undefined) throw new Fault("invalid_request", '"method" must be a string');
  const known = methodNamed(name);
  if (known?.versions.includes("1.0") === true) draft.dialect = { version: "1.0", binding: "JSONRPC" };
  const said = readVersion(request.version);
  if (known === undefined) throw new Fault("method_not_found", "there is no such A2A method");
  const isFirst = seen.at("sessionId") !== undefined;
  draft.dialect = { version: versionOf(known.versions, said, isFirst), binding: "JSONRPC" };
  const { operation } = known;
  if (operation !== "GetExtendedAgentCard" && params?.kind !== "object") {
    throw new Fault("invalid_params", '"params" must be an object');
  }
  const named = namedByParams(body, seen, { ...draft, operation });
  const tenant = optional("tenant", tenantIn(body, seen, draft.dialect));
  return finish(body, seen, {
    ...{ dialect: draft.dialect, operation, named, ...tenant },
    ...(rpcId !== undefined && { rpcId }),
  });
}

/** A method says more than the header, as long as both can be true. */
function versionOf(versions: readonly A2aVersion[], said: A2aVersion | undefined, isFirst: boolean): A2aVersion {
  if (said !== undefined && versions.includes(said)) return said;
  if (said !== undefined && versions.includes("1.0")) {
    throw new Fault("version_not_supported", `the method is one of A2A 1.0, but A2A-Version says ${said}`, {
      details: { supported: versions },
    });
  }
  if (said === "1.0") throw new Fault("method_not_found", "A2A 1.0 has no such method");
  if (isFirst && versions.includes("0.1")) return "0.1";
  return versions.at(-1) as A2aVersion;
}

async function readRestCall(request: Request, draft: Draft): Promise<ReadRequest> {
  const { http, rest, body } = request;
  const cut = rest.indexOf("?");
  const asked = cut < 0 ? undefined : new URLSearchParams(rest.slice(cut)).get("A2A-Version");
  const said = readVersion(request.version) ?? readVersion(asked ?? undefined);
  const version = said ?? draft.dialect.version;
  if (version === "0.1" || version === "0.2" || (version === "0.3" && restVersion(rest) !== "0.3")) {
    throw new Fault("version_not_supported", `A2A ${version} has nothing at this address`, {
      details: { supported: [draft.dialect.version] },
    });
  }
  draft.dialect = { version, binding: "HTTP+JSON" };
  const target = readRest(version, http, rest);
  const { operation } = target;
  if (body.length === 0) {
    if (isSend(operation) || operation.startsWith("Create")) throw new Fault("invalid_params", "a body is needed");
    const named = namedByTarget(target, undefined, body);
    return withWebhook({ dialect: draft.dialect, operation, named, ...tenantOf(target) });
  }
  const seen = await scanRequest(body, false);
  if ("error" in seen) throw new Fault("parse_error", explain(seen.error));
  if (seen.root.kind !== "object") throw new Fault("invalid_params", "the body must be a JSON object");
  checkNames(seen, version);
  const named = isSend(operation) ? namedByMessage(body, seen, "message") : namedByTarget(target, seen, body);
  const tenant = tenantOf(target, tenantIn(body, seen, draft.dialect));
  return finish(body, seen, { dialect: draft.dialect, operation, named, ...tenant });
}

function namedByParams(body: Buffer, seen: SeenRequest, of: Draft & { operation: A2aOperation }): Named {
  const { operation, dialect } = of;
  checkNames(seen, dialect.version);
  if (isSend(operation)) return namedByMessage(body, seen, dialect.version === "0.1" ? "params" : "message");
  if (operation === "GetExtendedAgentCard") return {};
  if (operation === "ListTasks") return { ...optional("context", readId(body, seen.at("contextId"), "contextId")) };
  const isPush = operation.includes("PushNotification");
  const usesTaskId =
    isPush && (dialect.version === "1.0" || (dialect.version !== "0.1" && operation.startsWith("Create")));
  const member: ParamName = usesTaskId ? "taskId" : "id";
  const other = usesTaskId ? seen.at("id") : dialect.version === "1.0" ? undefined : seen.at("pushConfigId");
  const isOne = operation.startsWith("Get") || operation.startsWith("Delete");
  return {
    task: needed(readId(body, seen.at(member), member), `params.${member}`),
    ...(isPush && isOne && optional("pushConfig", readId(body, other, "the push configuration's id"))),
  };
}

function namedByMessage(body: Buffer, seen: SeenRequest, where: "message" | "params"): Named {
  if (seen.at("message")?.kind !== "object") throw new Fault("invalid_params", '"message" must be an object');
  if (where === "params") {
    return {
      task: needed(readId(body, seen.at("id"), "id"), "params.id"),
      ...optional("context", readId(body, seen.at("sessionId"), "sessionId")),
      mayBeNew: true,
    };
  }
  const task = readId(body, seen.at("messageTask"), "message.taskId");
  const ofWebhook = readId(body, seen.at("webhookTask"), "taskPushNotificationConfig.taskId");
  if (ofWebhook !== undefined && ofWebhook !== task) {
    throw new Fault("invalid_params", "the push configuration of a message is for another task");
  }
  const references = readReferences(body, seen.at("references"));
  return {
    ...optional("task", task),
    ...optional("context", readId(body, seen.at("messageContext"), "message.contextId")),
    ...(references.length > 0 && { references }),
  };
}

/** The path names the task; a body or query that names another one is refused. */
function namedByTarget(target: RestTarget, seen: SeenRequest | undefined, body: Buffer): Named {
  const { operation, query } = target;
  const task = checked(target.task, "the task's id");
  const pushConfig = checked(target.pushConfig, "the push configuration's id");
  const context = operation === "ListTasks" ? checked(query.get("contextId") || undefined, "contextId") : undefined;
  const isPush = operation.includes("PushNotification");
  const inBody = (name: ParamName): string | null | undefined => text(body, seen?.at(name)) || undefined;
  const said = [inBody("taskId"), query.get("taskId")];
  if (!isPush) said.push(inBody("id"), query.get("id"));
  for (const path of [inBody("parent"), inBody("name"), inBody("configName"), query.get("name"), query.get("parent")]) {
    said.push(/^tasks\/([^/]+)/.exec(path ?? "")?.[1] ?? path);
  }
  if (said.some((each) => (each ?? "") !== "" && each !== task)) {
    throw new Fault("invalid_params", "the body or the query names another task than the path");
  }
  return { ...optional("task", task), ...optional("context", context), ...optional("pushConfig", pushConfig) };
}

/** Only 1.0 has tenants, but some agent of another revision may read what is called like one. */
function tenantIn(body: Buffer, seen: SeenRequest, { version }: Dialect): string | undefined {
  const said = seen.at("tenant");
  return version === "1.0" ? readId(body, said, "tenant") : text(body, said) || undefined;
}

/** @throws Fault where the path, the query and the body do not agree */
function tenantOf({ tenant, query }: RestTarget, inBody?: string): { tenant?: string } {
  const said = [tenant, ...query.getAll("tenant"), inBody].filter((each) => each !== undefined && each !== "");
  if (new Set(said).size > 1)
    throw new Fault("invalid_params", "the path, the query and the body name several tenants");
  return optional("tenant", checked(said[0], "the tenant"));
}

async function finish(body: Buffer, seen: SeenRequest, read: Omit<ReadRequest, "hasWebhook">): Promise<ReadRequest> {
  if (!isSend(read.operation)) return withWebhook(read);
  const own = seen.at("parts");
  const parts = own?.kind === "array" ? own : seen.at("content");
  const messageKind = await kindOfPart(body, parts?.items?.[0]);
  const webhooks = [seen.at("firstWebhook"), seen.at("webhook"), seen.at("protoWebhook"), seen.at("taskWebhook")];
  const hasWebhook = webhooks.some((each) => each !== undefined && each.kind !== "null");
  return { ...read, hasWebhook, ...(messageKind !== undefined && { messageKind }) };
}

function withWebhook(read: Omit<ReadRequest, "hasWebhook">): ReadRequest {
  return { ...read, hasWebhook: read.operation.includes("PushNotification") };
}

/** The names of the proto file are 1.0's too; before it some agents read them, and others do not. */
function checkNames({ alias, inProto, twice }: SeenRequest, version: A2aVersion): void {
  if (twice !== undefined) throw saidTwice(twice);
  const unread = alias ?? (version === "1.0" ? undefined : inProto);
  if (unread !== undefined)
    throw new Fault("invalid_params", `"${unread}" is not read like that: use the name of the specification`);
}

function readReferences(body: Buffer, range: JsonRange | undefined): string[] {
  if (range === undefined || range.kind === "null") return [];
  if (range.kind !== "array") throw new Fault("invalid_params", '"message.referenceTaskIds" must be an array');
  const items = range.items ?? [];
  if (items.length > maxReferences) {
    throw new Fault("invalid_params", `a message may refer to at most ${maxReferences} tasks`);
  }
  return items.map((item) => needed(readId(body, item, "message.referenceTaskIds"), "message.referenceTaskIds"));
}

/** An empty id says nothing, as in proto-JSON. */
function readId(body: Buffer, range: JsonRange | undefined, name: string): string | undefined {
  if (range === undefined || range.kind === "null") return undefined;
  const id = text(body, range);
  if (id === undefined) throw new Fault("invalid_params", `"${name}" must be a string`);
  return id === "" ? undefined : checked(id, `"${name}"`);
}

function checked(id: string | undefined, name: string): string | undefined {
  if (id !== undefined && id.length > longestA2aId) {
    throw new Fault("invalid_params", `${name} may have at most ${longestA2aId} characters`);
  }
  return id;
}

function needed(id: string | undefined, name: string): string {
  if (id === undefined) throw new Fault("invalid_params", `"${name}" is needed`);
  return id;
}

function optional<Name extends string>(name: Name, id: string | undefined): { [name in Name]?: string } {
  return id === undefined ? {} : ({ [name]: id } as { [name in Name]?: string });
}

function readRpcId(body: Buffer, id: JsonRange | undefined): string | undefined {
  if (id === undefined) return undefined;
  if (id.kind !== "string" && id.kind !== "number" && id.kind !== "null") {
    throw new Fault("invalid_request", '"id" must be a string or a number');
  }
  if (id.end - id.start > longestRpcId) {
    throw new Fault("invalid_request", `"id" may have at most ${longestRpcId} bytes`);
  }
  return raw(body, id).toString("utf8");
}

function isSend(operation: A2aOperation): boolean {
  return operation === "SendMessage" || operation === "SendStreamingMessage";
}
