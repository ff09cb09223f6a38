import { invalidParams, methodNotFound, type RpcError } from "./rpc.ts";

/** Only in the legacy era (MCP 2025-11-25, Resources, Error Handling). */
const resourceNotFound = -32002;
/** Servers have one code for arguments they do not take and for things they do not have; the words tell which. */
const saysUnknown = /\b(?:unknown|not found|no such|does not exist)\b/i;

/** The HTTP status that tells an error answer to who reads no JSON-RPC. */
export function plainStatus({ code, message }: RpcError, method: string): number {
  if (code === methodNotFound || code === resourceNotFound) return 404;
  const namesThing = method === "tools/call" || method === "resources/read";
  if (code === invalidParams) return namesThing && saysUnknown.test(message) ? 404 : 400;
  return 502;
}
