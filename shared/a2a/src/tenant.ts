import { Fault, type Dialect } from "@sluice/contracts";
import { compile, explain, scan, type JsonRange } from "@sluice/json";
import { readRest } from "./rest-target.ts";
import type { WireRequest } from "./wire.ts";

const inParams = compile([[], ["params"], ["params", "tenant"]], []);
const inBody = compile([["tenant"]], []);

/** The same request for a tenant of the agent's (A2A 1.0 §4.4.6), whatever it names itself; the path of REST has it in front. @throws Fault */
export function requestForTenant(dialect: Dialect, tenant: string, request: WireRequest): WireRequest {
  return dialect.binding === "JSONRPC" ? rpcFor(tenant, request) : restFor(dialect, tenant, request);
}

function rpcFor(tenant: string, request: WireRequest): WireRequest {
  const { body } = request;
  const [root, params, named] = read(body, inParams);
  if (root?.kind !== "object") throw new Fault("parse_error", "the request is no JSON object");
  const value = JSON.stringify(tenant);
  if (named !== undefined) return { ...request, body: replaced(body, named, value) };
  const member = `"tenant":${value}`;
  if (params === undefined) return { ...request, body: inserted(body, root, `"params":{${member}}`) };
  if (params.kind !== "object") throw new Fault("invalid_params", '"params" must be an object');
  return { ...request, body: inserted(body, params, member) };
}

function restFor({ version }: Dialect, tenant: string, request: WireRequest): WireRequest {
  const { http, rest, body } = request;
  const target = readRest(version, http, rest);
  const cut = rest.indexOf("?");
  const [path, asked] = cut < 0 ? [rest, ""] : [rest.slice(0, cut), rest.slice(cut + 1)];
  const query = new URLSearchParams(asked);
  query.delete("tenant");
  const kept = target.query.has("tenant") ? query.toString() : asked;
  const own = target.tenant === undefined ? path : path.replace(/^\/[^/]+/, "");
  const named = body.length === 0 ? undefined : read(body, inBody)[0];
  return {
    http,
    rest: `/${encodeURIComponent(tenant)}${own}${kept === "" ? "" : `?${kept}`}`,
    body: named === undefined ? body : replaced(body, named, JSON.stringify(tenant)),
  };
}

function read(body: Buffer, plan: Parameters<typeof scan>[1]): readonly (JsonRange | undefined)[] {
  const seen = scan(body, plan);
  if (!seen.ok) throw new Fault("parse_error", explain(seen.error));
  return seen.values;
}

function replaced(body: Buffer, { start, end }: JsonRange, value: string): Buffer {
  return Buffer.concat([body.subarray(0, start), Buffer.from(value), body.subarray(end)]);
}

/** The document with one more member at the front of an object. */
function inserted(body: Buffer, into: { readonly start: number; readonly count: number }, member: string): Buffer {
  const at = into.start + 1;
  return Buffer.concat([body.subarray(0, at), Buffer.from(into.count > 0 ? `${member},` : member), body.subarray(at)]);
}
