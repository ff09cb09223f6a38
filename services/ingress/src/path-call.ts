import type { IncomingHttpHeaders } from "node:http";
import { digestOf } from "@sluice/capture";
import { Fault, type Agent } from "@sluice/contracts";
import { compile, explain, raw, scan, scanAsync, text, value, type JsonRange } from "@sluice/json";
import { checkOperationHeaders, readOperation, type Operation } from "./operation.ts";

/** The methods that have a path of their own (seed 001 §1), and what each must name. */
const pathMethods = {
  initialize: undefined,
  "tools/list": undefined,
  "tools/call": "name",
  "resources/list": undefined,
  "resources/read": "uri",
} as const;
export type PathMethod = keyof typeof pathMethods;

export interface Asked {
  readonly method: PathMethod;
  readonly headers: IncomingHttpHeaders;
  readonly agent: Agent;
  /** The parameters are the bytes that the client sent, and not what its query says. */
  readonly isSent: boolean;
}

/** A body as far as was read: parameters alone, or a JSON-RPC request that holds them. */
export interface Form {
  readonly body: Buffer;
  readonly isRpc: boolean;
  /** The request's id as raw JSON. */
  readonly rpcId: string | undefined;
  readonly values: readonly (JsonRange | undefined)[];
  readonly root: JsonRange;
}

/** The same as a request of the modern era, which stands for itself. */
export interface PathCall {
  readonly message: Buffer;
  readonly headers: IncomingHttpHeaders;
  readonly operation: Operation;
}

const version = "2026-07-28";
const prefix = "io.modelcontextprotocol/";
const largeBytes = 256 * 1024;
const plan = compile([
  ["jsonrpc"],
  ["id"],
  ["method"],
  ["params"],
  ["params", "_meta"],
  ["_meta"],
  ["name"],
  ["uri"],
  ["arguments"],
  ["params", "arguments"],
]);
const ofSession = /^(?:mcp-session-id|mcp-param-.*|last-event-id)$/;

/** @throws Fault `parse_error` or `invalid_request` for what is no JSON object. */
export async function readForm(sent: Buffer): Promise<Form> {
  const body = sent.length === 0 ? Buffer.from("{}") : sent;
  const seen = body.length > largeBytes ? await scanAsync(body, plan) : scan(body, plan);
  if (!seen.ok) throw new Fault("parse_error", explain(seen.error));
  const { values, root } = seen;
  if (root.kind !== "object") throw new Fault("invalid_request", "send one JSON object");
  const [jsonrpc, id, method] = values;
  const isRpc = jsonrpc !== undefined || method !== undefined;
  const isId = isRpc && (id?.kind === "string" || id?.kind === "number");
  return { body, isRpc, rpcId: isId ? raw(body, id).toString("utf8") : undefined, values, root };
}

/**
 * Makes a request of the modern era of what came by a method's own path. The parameters' bytes stay as they are, but for
 * what a request says of its sender.
 * @throws Fault `invalid_request` or `header_mismatch`
 */
export async function readPathCall(asked: Asked, form: Form): Promise<PathCall> {
  const { method, headers, isSent } = asked;
  const { params, meta } = form.isRpc ? rpcParams(asked, form) : plainParams(asked, form);
  if (meta !== undefined && meta.kind !== "object") throw new Fault("invalid_request", '"_meta" must be an object');
  const isInitialize = method === "initialize";
  const sent = isInitialize ? "server/discover" : method;
  const message = Buffer.concat([
    Buffer.from(`{"jsonrpc":"2.0","id":${form.rpcId ?? "1"},"method":"${sent}","params":`),
    ...(isInitialize ? introduced(asked, form.body, {}) : introduced(asked, form.body, { params, meta })),
    Buffer.from("}"),
  ]);
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !ofSession.test(name)));
  const { argumentsHash: _ofMade, ...operation } = await readOperation(message, kept);
  checkOperationHeaders({ ...operation, method }, headers);
  const { target } = operation;
  const name = target === undefined ? {} : { "mcp-name": `=?base64?${Buffer.from(target).toString("base64")}?=` };
  return {
    message,
    headers: { ...kept, "mcp-protocol-version": version, "mcp-method": sent, ...name },
    operation: { ...operation, ...(isSent && { argumentsHash: await digestOf(raw(form.body, askedIn(form))) }) },
  };
}

/** What the client sent as the arguments of its call: within its parameters, or these where the method has none. */
function askedIn({ isRpc, values, root }: Form): JsonRange {
  const [, , , params = root, , , , , plain, inParams] = values;
  return isRpc ? (inParams ?? params) : (plain ?? root);
}

interface Params {
  readonly params?: JsonRange | undefined;
  readonly meta?: JsonRange | undefined;
}

function rpcParams({ method }: Asked, { body, values, rpcId }: Form): Params {
  const [jsonrpc, , named, params, meta] = values;
  if (text(body, jsonrpc) !== "2.0") throw new Fault("invalid_request", '"jsonrpc" must be "2.0"');
  if (text(body, named) !== method)
    throw new Fault("invalid_request", `this path is for ${method} alone: send other methods to /mcp`);
  if (rpcId === undefined) throw new Fault("invalid_request", 'a request needs an "id", a string or a number');
  if (params !== undefined && params.kind !== "object")
    throw new Fault("invalid_request", '"params" must be an object');
  return { params, meta };
}

function plainParams({ method }: Asked, { body, values, root }: Form): Params {
  const [, , , , , meta, name, uri] = values;
  const member = pathMethods[method];
  if (member !== undefined && text(body, member === "name" ? name : uri) === undefined)
    throw new Fault("invalid_request", `send "${member}" as a string`);
  return { params: root, meta };
}

/** The parameters with the agent as the sender, who answers no questions on this way. */
function introduced({ agent }: Asked, body: Buffer, { params, meta }: Params): Buffer[] {
  const said = JSON.stringify({
    ...(value(body, meta) as Record<string, unknown> | undefined),
    [`${prefix}protocolVersion`]: version,
    [`${prefix}clientInfo`]: { name: agent.name ?? agent.id, version: "0" },
    [`${prefix}clientCapabilities`]: {},
  });
  if (params === undefined) return [Buffer.from(`{"_meta":${said}}`)];
  if (meta !== undefined)
    return [body.subarray(params.start, meta.start), Buffer.from(said), body.subarray(meta.end, params.end)];
  const comma = params.count > 0 ? "," : "";
  return [Buffer.from(`{"_meta":${said}${comma}`), body.subarray(params.start + 1, params.end)];
}
