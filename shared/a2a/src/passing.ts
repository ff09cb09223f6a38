import { Fault, type Dialect } from "@sluice/contracts";
import { compile, raw, scan } from "@sluice/json";
import { namesTowards, renameBytes } from "./names.ts";
import { readRest, writeRest } from "./rest-target.ts";
import { noticeShape, shapeOf } from "./shapes.ts";
import type { Sides, WireAnswer, WireRequest } from "./wire.ts";

/** What passes as it came, but for the names that differ: both sides speak the same. */

/** 0.2 and 0.3 are one on the wire of JSON-RPC. */
export function speakTheSame({ client, upstream }: Pick<Sides, "client" | "upstream">): boolean {
  return client.binding === upstream.binding && family(client) === family(upstream);
}

function family({ version }: Dialect): string {
  return version === "0.2" ? "0.3" : version;
}

export function passRequest(sides: Sides, request: WireRequest): WireRequest {
  const nameOf = namesTowards("upstream", sides.renames);
  if (nameOf === undefined) return request;
  const { client, operation } = sides;
  const body =
    request.body.length === 0 ? request.body : renameBytes(request.body, shapeOf("params", client, operation), nameOf);
  if (body === undefined) throw new Fault("parse_error", "the body cannot be read");
  if (client.binding === "JSONRPC") return { ...request, body };
  const target = readRest(client.version, request.http, request.rest);
  const task = target.task === undefined ? undefined : nameOf("task", target.task);
  const said = target.query.get("contextId") ?? "";
  const context = nameOf("context", said);
  if (task === undefined && context === undefined) return { ...request, body };
  if (context !== undefined) target.query.set("contextId", context);
  const { rest } = writeRest(client.version, { ...target, ...(task !== undefined && { task }) });
  return { http: request.http, rest, body };
}

export function passAnswer(sides: Sides, answer: WireAnswer): WireAnswer {
  const body = passBody(sides, answer.body);
  return body === answer.body ? answer : { ...answer, body };
}

/** An answer's body or the data of an event. */
export function passBody(sides: Sides, body: Buffer): Buffer {
  if (body.length === 0) return body;
  const { client, upstream, operation, renames, rpcId } = sides;
  const own = client.binding === "JSONRPC" && rpcId !== undefined ? withId(body, rpcId) : body;
  const nameOf = namesTowards("client", renames);
  return nameOf === undefined ? own : readable(renameBytes(own, shapeOf("result", upstream, operation), nameOf));
}

/** What is posted to a webhook has no envelope. */
export function passNotice({ client, renames }: Sides, body: Buffer): Buffer {
  const nameOf = namesTowards("client", renames);
  return nameOf === undefined ? body : readable(renameBytes(body, noticeShape(client), nameOf));
}

const idPlan = compile([["id"]], []);

/** A stream that several read was opened with the id of one of them. */
function withId(body: Buffer, rpcId: string): Buffer {
  const seen = scan(body, idPlan);
  const id = seen.ok ? seen.values[0] : readable(undefined);
  if (id === undefined || raw(body, id).equals(Buffer.from(rpcId))) return body;
  return Buffer.concat([body.subarray(0, id.start), Buffer.from(rpcId), body.subarray(id.end)]);
}

function readable<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Fault("upstream_failed", "the agent's answer cannot be read");
  return value;
}
