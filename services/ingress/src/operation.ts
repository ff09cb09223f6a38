import type { IncomingHttpHeaders } from "node:http";
import { digestOf } from "@sluice/capture";
import { Fault, longestTarget, type Client, type ListedKind } from "@sluice/contracts";
import { compile, explain, raw, scan, scanAsync, text, type JsonRange, type Scan } from "@sluice/json";
import { shownClient } from "./request-head.ts";

/** One MCP message as the gateway understands it; whatever it decides, it decides on this. */
export interface Operation {
  /** The JSON-RPC method; `response` for an answer to the server; the HTTP method where there is no body. */
  readonly method: string;
  /** What the method acts on: a tool's or prompt's name, or a resource's URI. */
  readonly target?: string;
  /** What the target is, where the method does not say it. */
  readonly targetKind?: ListedKind;
  /** The id as raw JSON, where the message is a request. */
  readonly rpcId?: string;
  readonly era: "legacy" | "modern";
  /** What the client says it is. */
  readonly client?: Client;
  /** The egress replica that holds what the message goes on with: it gave the id or the state that comes back here. */
  readonly owner?: string;
  /** SHA-256 of the bytes of `params.arguments`, or of `params` where there is none of that. */
  readonly argumentsHash?: string;
}

const modernSince = "2026-07-28";
const versionKey = "io.modelcontextprotocol/protocolVersion";
const clientKey = "io.modelcontextprotocol/clientInfo";
const plan = compile([
  ["jsonrpc"],
  ["id"],
  ["method"],
  ["params", "name"],
  ["params", "uri"],
  ["params", "ref", "type"],
  ["params", "ref", "name"],
  ["params", "ref", "uri"],
  ["params", "_meta", versionKey],
  ["params", "requestState"],
  ["result"],
  ["error"],
  ["params", "clientInfo", "name"],
  ["params", "clientInfo", "version"],
  ["params", "_meta", clientKey, "name"],
  ["params", "_meta", clientKey, "version"],
  ["params"],
  ["params", "arguments"],
]);
/** Larger bodies are read in slices, so that one of them does not hold up the others. */
const largeBytes = 256 * 1024;
const longestId = 256;

/** Which of the values that a plan looks for tell a call's target. */
interface TargetRanges {
  readonly name: JsonRange | undefined;
  readonly uri: JsonRange | undefined;
  readonly ref: Readonly<Record<"type" | "name" | "uri", JsonRange | undefined>>;
}

/** What is completed: the arguments of a prompt, or the variables of a resource template. */
const references: Readonly<Record<string, { readonly member: "name" | "uri"; readonly kind: ListedKind }>> = {
  "ref/prompt": { member: "name", kind: "prompts" },
  "ref/resource": { member: "uri", kind: "resources" },
};

const targetOf: Readonly<Record<string, "name" | "uri">> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  "resources/subscribe": "uri",
  "resources/unsubscribe": "uri",
};

/**
 * Reads one JSON-RPC message (https://www.jsonrpc.org/specification) and checks the modern era's headers against it.
 * @throws Fault `parse_error`, `invalid_request` or `header_mismatch`.
 */
export async function readOperation(body: Buffer, headers: IncomingHttpHeaders): Promise<Operation> {
  const seen = body.length > largeBytes ? await scanAsync(body, plan) : scan(body, plan);
  const operation = interpret(body, seen, headers);
  const asked = seen.ok && operation.method !== "response" ? (seen.values.at(-1) ?? seen.values.at(-2)) : undefined;
  return asked === undefined ? operation : { ...operation, argumentsHash: await digestOf(raw(body, asked)) };
}

export function checkOperationHeaders(operation: Operation, headers: IncomingHttpHeaders): void {
  checkHeader("Mcp-Method", headers["mcp-method"], operation.method);
  if (operation.target !== undefined && operation.targetKind === undefined)
    checkHeader("Mcp-Name", headers["mcp-name"], operation.target);
}

/** The era of a request without a body. */
export function eraOf(headers: IncomingHttpHeaders): Operation["era"] {
  const version = headers["mcp-protocol-version"];
  return typeof version === "string" && version >= modernSince ? "modern" : "legacy";
}

function interpret(body: Buffer, seen: Scan, headers: IncomingHttpHeaders): Operation {
  if (!seen.ok) throw new Fault("parse_error", explain(seen.error));
  if (seen.root.kind === "array")
    throw new Fault("invalid_request", "batches are not accepted: send one message per request");
  const [jsonrpc, id, method, name, uri, refType, refName, refUri, metaVersion, state, result, error, ...client] =
    seen.values;
  if (text(body, jsonrpc) !== "2.0")
    throw new Fault("invalid_request", 'the body is no JSON-RPC message: "jsonrpc" must be "2.0"');
  const rpcId = readId(body, id);
  const era = metaVersion === undefined ? eraOf(headers) : "modern";
  if (method === undefined) {
    if (rpcId === undefined || (result === undefined) === (error === undefined)) {
      throw new Fault("invalid_request", "the message is neither a request nor an answer");
    }
    return { method: "response", era, ...ownerOf(text(body, id)) };
  }
  const methodName = text(body, method);
  if (methodName === undefined || !/^[\x21-\x7e]{1,128}$/.test(methodName)) {
    throw new Fault("invalid_request", '"method" must be a string of visible ASCII');
  }
  const ref = { type: refType, name: refName, uri: refUri };
  const isRemoved = era === "modern" && methodName.startsWith("resources/") && methodName.endsWith("subscribe");
  return {
    method: methodName,
    era,
    ...(rpcId !== undefined && { rpcId }),
    ...ownerOf(text(body, state)),
    ...((era === "modern" || methodName === "initialize") && readClient(body, client, era)),
    ...(isRemoved ? {} : readTarget(body, methodName, { name, uri, ref })),
  };
}

/** An id or state that egress gave names its replica: `slq.<instance>.…`, `slr.<instance>.…`. */
function ownerOf(given: string | undefined): Pick<Operation, "owner"> {
  const owner = given === undefined ? undefined : /^sl[qr]\.(i[0-9a-f]{12})\./.exec(given)?.[1];
  return owner === undefined ? {} : { owner };
}

/** What its own side says of a client goes no further than its name and version. */
function readClient(
  body: Buffer,
  [name, version, metaName, metaVersion]: readonly (JsonRange | undefined)[],
  era: Operation["era"],
): Pick<Operation, "client"> {
  const isModern = era === "modern";
  const named = text(body, isModern ? metaName : name);
  return named === undefined ? {} : { client: shownClient(named, text(body, isModern ? metaVersion : version)) };
}

function readId(body: Buffer, id: JsonRange | undefined): string | undefined {
  if (id === undefined) return undefined;
  if (id.kind !== "string" && id.kind !== "number" && id.kind !== "null")
    throw new Fault("invalid_request", '"id" must be a string or a number');
  if (id.end - id.start > longestId) throw new Fault("invalid_request", `"id" may have at most ${longestId} bytes`);
  return raw(body, id).toString("utf8");
}

function readTarget(body: Buffer, method: string, ranges: TargetRanges): Pick<Operation, "target" | "targetKind"> {
  if (method === "completion/complete") {
    const type = text(body, ranges.ref.type) ?? "";
    const reference = Object.hasOwn(references, type) ? references[type] : undefined;
    if (reference === undefined)
      throw new Fault("invalid_request", `${method} needs "params.ref.type": "ref/prompt" or "ref/resource"`);
    const { member, kind } = reference;
    return { target: readText(body, ranges.ref[member], `${method} needs "params.ref.${member}"`), targetKind: kind };
  }
  const member = Object.hasOwn(targetOf, method) ? targetOf[method] : undefined;
  return member === undefined ? {} : { target: readText(body, ranges[member], `${method} needs "params.${member}"`) };
}

function readText(body: Buffer, range: JsonRange | undefined, need: string): string {
  const target = text(body, range);
  if (target === undefined) throw new Fault("invalid_request", `${need} as a string`);
  if (target.length > longestTarget)
    throw new Fault("invalid_request", `${need} with at most ${longestTarget} characters`);
  return target;
}

/** A header that repeats a part of the body must say the same, or a router behind might see another call than policy did. */
function checkHeader(name: string, value: string | string[] | undefined, expected: string): void {
  if (value === undefined) return;
  if (typeof value !== "string" || decodeHeader(value) !== expected) {
    throw new Fault("header_mismatch", `the header ${name} differs from the body`);
  }
}

/** Values that are not header-safe travel as `=?base64?…?=` (MCP 2026-07-28, Transports). */
function decodeHeader(value: string): string {
  const encoded = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(value)?.[1];
  return encoded === undefined ? value : Buffer.from(encoded, "base64").toString("utf8");
}
