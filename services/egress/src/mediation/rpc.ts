import { Fault } from "@sluice/contracts";
import { isRawNumber, parseExact } from "@sluice/json";

/** JSON-RPC 2.0 as MCP uses it. What is not known here stays in the objects as it came. */
export type RpcId = string | number;
export type Members = Readonly<Record<string, unknown>>;

export interface Request {
  readonly method: string;
  readonly params?: Members;
}

export interface RpcMessage extends Members {
  readonly jsonrpc: "2.0";
  readonly id?: RpcId | null;
  readonly method?: string;
  readonly params?: Members;
  readonly result?: Members;
  readonly error?: unknown;
}

/** An error answer of the other side, to be handed on as it is. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }

  get body(): { code: number; message: string; data?: unknown } {
    return { code: this.code, message: this.message, ...(this.data !== undefined && { data: this.data }) };
  }
}

/** An error answer whose HTTP status says that the request was not carried out. */
export class RequestRefused extends RpcError {}

export const invalidParams = -32602;
export const methodNotFound = -32601;

/** Numbers that JavaScript would change are kept as they were written. @throws Fault `upstream_failed` for what is no JSON. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return parseExact(bytes.toString("utf8"));
  } catch (error) {
    throw new Fault("upstream_failed", "the upstream's answer is no JSON", { cause: error });
  }
}

export function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRawNumber(value);
}

/** @throws Fault `upstream_failed` for anything but a JSON-RPC message. */
export function readMessage(value: unknown): RpcMessage {
  if (!isObject(value) || value["jsonrpc"] !== "2.0")
    throw new Fault("upstream_failed", "the upstream sent something that is no JSON-RPC message");
  return value as RpcMessage;
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function objectOf(value: unknown): Members {
  return isObject(value) ? value : {};
}

export function metaOf(params: Members | undefined): Members {
  return objectOf(params?.["_meta"]);
}

/** The same without some members. */
export function without(members: Members, ...names: readonly string[]): Members {
  const rest = { ...members };
  for (const name of names) delete rest[name];
  return rest;
}

/** The answer's result. @throws RequestRefused where the HTTP status says no, RpcError for any other error answer. */
export function resultWith(status: number, answer: RpcMessage): Members {
  try {
    return resultOf(answer);
  } catch (error) {
    if (!(error instanceof RpcError) || status < 400) throw error;
    throw new RequestRefused(error.code, error.message, error.data);
  }
}

function errorOf({ code, message, data }: Members): RpcError {
  return new RpcError(
    Number.isInteger(code) ? (code as number) : -32603,
    typeof message === "string" ? message : "",
    data,
  );
}

/** The answer's result. @throws RpcError for an error answer. */
export function resultOf({ result, error }: RpcMessage): Members {
  if (error !== undefined && error !== null) throw errorOf(objectOf(error));
  if (!isObject(result)) throw new Fault("upstream_failed", "the upstream's answer has no result");
  return result;
}

/** The message that an agent sent. @throws Fault `invalid_request` */
export function readBody(body: Buffer): RpcMessage {
  const value = parseJson(body);
  if (!isObject(value)) throw new Fault("invalid_request", "the body is no JSON-RPC message");
  return value as RpcMessage;
}
