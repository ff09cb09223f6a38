import { encodeHeaderValue } from "@sluice/relay";
import { isObject, objectOf, type Members } from "./rpc.ts";

/** Finds a tool's input schema; undefined where the upstream has no such tool. */
export type ToolSchemas = (tool: string, signal: AbortSignal) => Promise<Members | undefined>;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** What a header's value stands for; undefined for broken base64. */
export function decodeHeader(value: string): string | undefined {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(value)?.[1];
  if (encoded === undefined) return value;
  return base64.test(encoded) ? Buffer.from(encoded, "base64").toString("utf8") : undefined;
}

/** The arguments that a tool wants mirrored into header fields (MCP 2026-07-28, Custom Headers from Tool Parameters). */
export function paramHeaders(schema: Members | undefined, args: Members): Record<string, string> {
  const headers: Record<string, string> = {};
  collect(objectOf(schema), args, headers);
  return headers;
}

/** The header fields that a tool's schema speaks of. */
export function paramNames(schema: Members): string[] {
  return Object.values(objectOf(schema["properties"])).flatMap((property) => {
    if (!isObject(property)) return [];
    const header = property["x-mcp-header"];
    const own = typeof header === "string" && token.test(header) ? [`mcp-param-${header.toLowerCase()}`] : [];
    return [...own, ...paramNames(property)];
  });
}

/** Whether two header values stand for the same argument; whole numbers are compared as numbers. */
export function sameValue(sent: string, expected: string): boolean {
  const [one, other] = [decodeHeader(sent), decodeHeader(expected)];
  if (one === undefined || other === undefined) return false;
  return one === other || (/^-?\d+(\.0+)?$/.test(one) && /^-?\d+$/.test(other) && Number(one) === Number(other));
}

function collect(schema: Members, args: Members, headers: Record<string, string>): void {
  for (const [name, property] of Object.entries(objectOf(schema["properties"]))) {
    if (!isObject(property) || !Object.hasOwn(args, name)) continue;
    const value = args[name];
    const header = property["x-mcp-header"];
    if (typeof header === "string" && token.test(header) && isPrimitive(value))
      headers[`mcp-param-${header.toLowerCase()}`] = encodeHeaderValue(String(value));
    if (isObject(value)) collect(property, value, headers);
  }
}

function isPrimitive(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "boolean" || Number.isSafeInteger(value);
}
