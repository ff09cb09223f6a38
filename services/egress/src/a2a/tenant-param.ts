import type { WireRequest } from "@sluice/a2a";
import { compile, scan } from "@sluice/json";
import type { AgentInterface } from "./agent-interface.ts";

const params = compile([[], ["params"], ["params", "tenant"]], []);

/** Names, in a JSON-RPC request that does not, the tenant that an agent's interface wants named (A2A 1.0 §4.4.6). */
export function forTenant({ dialect, tenant }: AgentInterface, request: WireRequest): WireRequest {
  if (tenant === undefined || dialect.binding !== "JSONRPC") return request;
  const { body } = request;
  const seen = scan(body, params);
  const [root, given, named] = seen.ok ? seen.values : [];
  if (root?.kind !== "object" || named !== undefined) return request;
  const member = `"tenant":${JSON.stringify(tenant)}`;
  if (given === undefined) return { ...request, body: inserted(body, root, `"params":{${member}}`) };
  return given.kind === "object" ? { ...request, body: inserted(body, given, member) } : request;
}

/** The document with one more member at the front of an object. */
function inserted(body: Buffer, into: { readonly start: number; readonly count: number }, member: string): Buffer {
  const at = into.start + 1;
  return Buffer.concat([body.subarray(0, at), Buffer.from(into.count > 0 ? `${member},` : member), body.subarray(at)]);
}
