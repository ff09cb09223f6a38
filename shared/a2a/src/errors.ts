import { Fault, rpcErrorOf, type Dialect, type FaultKind } from "@sluice/contracts";
import { isObject, objectsOf, textOf, type JsonObject } from "./json-object.ts";
import type { WireAnswer } from "./wire.ts";

/** An error in the words of JSON-RPC, with 1.0's details, whatever dialect it came in. */
export interface A2aError {
  readonly code: number;
  readonly message: string;
  /** Objects with `@type`. */
  readonly details: readonly JsonObject[];
  /** What `data` or another body said that no detail does. */
  readonly data?: unknown;
  /** Of HTTP, where the error came with one of its own. */
  readonly status?: number;
}

interface Row {
  readonly code: number;
  readonly reason?: string;
  /** Status of 1.0's REST (§5.4) and its name; of 0.3's, as its reference servers answer. */
  readonly status: number;
  readonly name: string;
  readonly oldStatus: number;
  readonly isNew?: true;
}

const rows: readonly Row[] = [
  { code: -32001, reason: "TASK_NOT_FOUND", status: 404, name: "NOT_FOUND", oldStatus: 404 },
  { code: -32002, reason: "TASK_NOT_CANCELABLE", status: 400, name: "FAILED_PRECONDITION", oldStatus: 409 },
  { code: -32003, reason: "PUSH_NOTIFICATION_NOT_SUPPORTED", status: 400, name: "FAILED_PRECONDITION", oldStatus: 400 },
  { code: -32004, reason: "UNSUPPORTED_OPERATION", status: 400, name: "FAILED_PRECONDITION", oldStatus: 400 },
  { code: -32005, reason: "CONTENT_TYPE_NOT_SUPPORTED", status: 400, name: "INVALID_ARGUMENT", oldStatus: 400 },
  { code: -32006, reason: "INVALID_AGENT_RESPONSE", status: 500, name: "INTERNAL", oldStatus: 500 },
  {
    code: -32007,
    reason: "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    status: 400,
    name: "FAILED_PRECONDITION",
    oldStatus: 400,
  },
  {
    code: -32008,
    reason: "EXTENSION_SUPPORT_REQUIRED",
    status: 400,
    name: "FAILED_PRECONDITION",
    oldStatus: 400,
    isNew: true,
  },
  {
    code: -32009,
    reason: "VERSION_NOT_SUPPORTED",
    status: 400,
    name: "FAILED_PRECONDITION",
    oldStatus: 400,
    isNew: true,
  },
  { code: -32700, status: 400, name: "INVALID_ARGUMENT", oldStatus: 400 },
  { code: -32600, status: 400, name: "INVALID_ARGUMENT", oldStatus: 400 },
  { code: -32601, status: 404, name: "NOT_FOUND", oldStatus: 404 },
  { code: -32602, reason: "INVALID_PARAMS", status: 400, name: "INVALID_ARGUMENT", oldStatus: 400 },
  { code: -32603, status: 500, name: "INTERNAL", oldStatus: 500 },
];
const byCode = new Map(rows.map((row) => [row.code, row]));
const byReason = new Map(rows.flatMap((row) => (row.reason === undefined ? [] : [[row.reason, row] as const])));

const statusNames: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  409: "ABORTED",
  429: "RESOURCE_EXHAUSTED",
  499: "CANCELLED",
  500: "INTERNAL",
  501: "UNIMPLEMENTED",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

const errorInfo = "type.googleapis.com/google.rpc.ErrorInfo";
const domain = "a2a-protocol.org";
const contentTypes = { JSONRPC: "application/json", "HTTP+JSON": "application/a2a+json" } as const;

/** Faults that A2A has errors of its own for: JSON-RPC tells them with status 200, as the reference servers do. */
const ownFaults: ReadonlySet<FaultKind> = new Set([
  "task_not_found",
  "push_not_supported",
  "unsupported_operation",
  "content_type_not_supported",
  "extended_card_not_configured",
  "version_not_supported",
  "invalid_request",
  "invalid_params",
  "method_not_found",
]);

/** A fault of the gateway's own as the client's dialect tells errors. */
export function faultAnswer(dialect: Dialect, fault: Fault, rpcId?: string): WireAnswer {
  return errorAnswer(dialect, errorOfFault(dialect, fault), rpcId);
}

function errorOfFault({ binding }: Dialect, fault: Fault): A2aError {
  const { code, message, data } = rpcErrorOf(fault);
  const error = { code, message: fault.kind === "task_not_found" ? "Task not found" : message, details: [] };
  if (fault.kind === "unsupported_media_type" && binding === "JSONRPC")
    return { ...error, code: -32005, status: fault.row.status };
  if (!ownFaults.has(fault.kind)) return { ...error, data, status: fault.row.status };
  const { supported } = fault.details;
  return Array.isArray(supported) ? { ...error, details: [infoOf(code, { supported: supported.join(", ") })] } : error;
}

/** An error as the dialect tells it. */
export function errorAnswer(dialect: Dialect, error: A2aError, rpcId: string | undefined): WireAnswer {
  const isRpc = dialect.binding === "JSONRPC";
  const old = dialect.version === "0.3" || !isKnown(error.code) ? "oldStatus" : "status";
  const status = isRpc ? (error.status ?? 200) : (error.status ?? byCode.get(error.code)?.[old] ?? 500);
  const body = isRpc
    ? `{"jsonrpc":"2.0","id":${rpcId ?? "null"},"error":${JSON.stringify(rpcError(dialect, error))}}`
    : JSON.stringify(dialect.version === "1.0" ? restError(error, status) : bareError(error));
  return { status, contentType: contentTypeOf(dialect), body: Buffer.from(body) };
}

export function contentTypeOf({ version, binding }: Dialect): string {
  return version === "1.0" ? contentTypes[binding] : "application/json";
}

/** The `error` of JSON-RPC. @throws Fault `upstream_failed` where it is none. */
export function readRpcError(error: unknown): A2aError {
  const { code, message, data } = isObject(error) ? error : ({} as JsonObject);
  if (typeof code !== "number") throw new Fault("upstream_failed", "the agent's error has no code");
  const details = Array.isArray(data) ? objectsOf(data).filter((each) => textOf(each["@type"]) !== undefined) : [];
  const isAllDetails = Array.isArray(data) && details.length === data.length;
  return { code, message: textOf(message) ?? "", details, ...(data !== undefined && !isAllDetails && { data }) };
}

/** The body of a REST answer that is no success; of both revisions, and of none. */
export function readRestError(body: JsonObject | undefined, status: number): A2aError {
  const inner = isObject(body?.["error"]) ? body["error"] : undefined;
  if (inner !== undefined) {
    const details = objectsOf(inner["details"]);
    const info = details.find((each) => each["@type"] === errorInfo && each["domain"] === domain);
    const code = byReason.get(textOf(info?.["reason"]) ?? "")?.code ?? codeOfStatus(status);
    return { code, message: textOf(inner["message"]) ?? "", details, ...gatewayStatus(code, status) };
  }
  const { code, message, data } = body ?? {};
  const known = typeof code === "number" && code < 0 ? code : codeOfStatus(status);
  const said = data === undefined ? {} : { data };
  return { code: known, message: textOf(message) ?? "", details: [], ...said, ...gatewayStatus(known, status) };
}

/** What only HTTP says (401, 429, 503 …) is kept, for clients that act upon it. */
function gatewayStatus(code: number, status: number): { status?: number } {
  return code > 0 ? { status } : {};
}

function codeOfStatus(status: number): number {
  if (status === 400 || status === 422) return -32602;
  if (status === 404) return -32001;
  if (status === 500) return -32603;
  return 1000 + status;
}

function rpcError(dialect: Dialect, error: A2aError): JsonObject {
  const { code, message } = error;
  const isNew = dialect.version !== "1.0" && byCode.get(code)?.isNew === true;
  const shown = isNew ? -32600 : code;
  if (dialect.version !== "1.0") {
    const data = error.data ?? (error.details.length > 0 ? error.details : undefined);
    return { code: shown, message, ...(data !== undefined && { data }) };
  }
  if (error.data !== undefined) return { code, message, data: error.data };
  const details = detailsOf(error);
  return { code, message, ...(details.length > 0 && { data: details }) };
}

function restError(error: A2aError, status: number): JsonObject {
  const row = byCode.get(error.code);
  const details = detailsOf(error);
  const more = isObject(error.data) ? [{ "@type": errorInfo, ...gatewayInfo(error.data) }] : [];
  return {
    error: {
      code: status,
      status: row?.name ?? statusNames[status] ?? "UNKNOWN",
      message: error.message,
      details: [...details, ...more],
    },
  };
}

function bareError({ code, message, data, details }: A2aError): JsonObject {
  const shown = byCode.get(code)?.isNew === true ? -32600 : code;
  const said = data ?? (details.length > 0 ? details : undefined);
  return { code: shown, message, ...(said !== undefined && { data: said }) };
}

function detailsOf({ code, details }: A2aError): readonly JsonObject[] {
  const isTold = details.some((each) => each["@type"] === errorInfo);
  return isTold || byCode.get(code)?.reason === undefined ? details : [infoOf(code), ...details];
}

function infoOf(code: number, metadata?: Readonly<Record<string, string>>): JsonObject {
  return { "@type": errorInfo, reason: byCode.get(code)?.reason, domain, ...(metadata !== undefined && { metadata }) };
}

/** The body of seed 001 as what ErrorInfo may hold: strings. */
function gatewayInfo(data: JsonObject): JsonObject {
  const { error, message: _message, ...rest } = data;
  const metadata = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  );
  return { reason: String(error).toUpperCase(), domain: "sluice", metadata };
}

function isKnown(code: number): boolean {
  return byCode.has(code);
}
