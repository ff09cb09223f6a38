import type { ServerResponse } from "node:http";
import { faultBody, type Fault } from "@sluice/contracts";
import { Refusal, rpcErrorOf, statusOf } from "./refusal.ts";

/**
 * Writes a fault as the answer: a JSON-RPC error whose `data` is the body of seed 001, with its HTTP status.
 * A notification about something hidden is accepted, as one about something unknown is.
 * @param rpcId the request's id as raw JSON; absent where it is not known, which JSON-RPC writes as null.
 */
export function renderFault(response: ServerResponse, fault: Fault, rpcId?: string): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  if (rpcId === undefined && isHidden(fault)) {
    response.writeHead(202).end();
    return;
  }
  write(response, fault, faultMessage(fault, rpcId));
}

/** Writes a fault as the answer to who reads no JSON-RPC: the body of seed 001 itself. */
export function renderPlainFault(response: ServerResponse, fault: Fault): void {
  const body = isHidden(fault) ? { error: "not_found", ...rpcErrorOf(fault) } : faultBody(fault);
  if (response.headersSent || response.destroyed) response.destroy();
  else write(response, fault, JSON.stringify(body));
}

function write(response: ServerResponse, fault: Fault, body: string): void {
  response.writeHead(statusOf(fault), {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...extraHeaders(fault, response),
    // A body that was not read to its end would be taken for the next request.
    ...(response.req.complete ? {} : { connection: "close" }),
  });
  response.end(body);
}

/** A fault as the JSON-RPC message that answers the request. */
export function faultMessage(fault: Fault, rpcId?: string): string {
  return `{"jsonrpc":"2.0","id":${rpcId ?? "null"},"error":${JSON.stringify(rpcErrorOf(fault))}}`;
}

/** What is hidden is answered as if it did not exist: a notification about it is accepted. */
export function isHidden(fault: Fault): boolean {
  return fault instanceof Refusal && fault.hidden;
}

function extraHeaders(fault: Fault, response: ServerResponse): Record<string, string> {
  const retryAfter = fault.details["retryAfterSeconds"] ?? fault.row.retryAfterSeconds;
  return {
    ...(fault instanceof Refusal && fault.shown.headers),
    ...(retryAfter !== undefined && { "retry-after": String(retryAfter) }),
    ...(fault.kind === "unauthorized" &&
      !response.hasHeader("www-authenticate") && { "www-authenticate": 'Bearer realm="sluice"' }),
  };
}
