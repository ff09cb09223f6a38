import type { ServerResponse } from "node:http";
import { faultAnswer } from "@sluice/a2a";
import { faultBody, type A2aOperation, type Dialect, type Fault } from "@sluice/contracts";
import { errorLines, readsEventsAlone } from "./a2a/event-lines.ts";
import { Refusal, rpcErrorOf, statusOf } from "./refusal.ts";

/** What is known of who is told of a fault. */
export interface Listener {
  /** The request's id as raw JSON; absent where it is not known, which JSON-RPC writes as null. */
  readonly rpcId?: string | undefined;
  /** Of a client of A2A. */
  readonly dialect?: Dialect | undefined;
  /** Of a call by A2A that could be read. */
  readonly operation?: A2aOperation | undefined;
}

/**
 * Writes a fault as the answer: a JSON-RPC error whose `data` is the body of seed 001, with its HTTP status; to a client of
 * A2A, in its dialect. A notification about something hidden is accepted, as one about something unknown is.
 */
export function renderFault(response: ServerResponse, fault: Fault, listener: Listener = {}): void {
  const { rpcId, dialect, operation } = listener;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  if (dialect !== undefined) {
    write(response, fault, answerIn(fault, { dialect, rpcId, operation }));
    return;
  }
  if (rpcId === undefined && isHidden(fault)) {
    response.writeHead(202).end();
    return;
  }
  write(response, fault, jsonOf(fault, faultMessage(fault, rpcId)));
}

/** The HTTP status that tells a client of A2A this fault. */
export function toldStatusOf(fault: Fault, { dialect }: { readonly dialect: Dialect }): number {
  return answerIn(fault, { dialect }).status;
}

function answerIn(fault: Fault, { dialect, rpcId, operation }: Listener & { readonly dialect: Dialect }): Written {
  const shown = fault instanceof Refusal ? fault.shown : undefined;
  const answer = faultAnswer(dialect, shown?.as ?? fault, rpcId);
  const told = shown?.status === 200 ? { ...answer, status: 200 } : answer;
  if (told.status !== 200 || !readsEventsAlone(dialect, operation)) return told;
  return { status: 200, contentType: "text/event-stream", body: errorLines(answer.body) };
}

/** Writes a fault as the answer to who reads no JSON-RPC: the body of seed 001 itself. */
export function renderPlainFault(response: ServerResponse, fault: Fault): void {
  const told = (fault instanceof Refusal ? fault.shown.as : undefined) ?? fault;
  const body = isHidden(fault) ? { error: "not_found", ...rpcErrorOf(fault) } : faultBody(told);
  if (response.headersSent || response.destroyed) response.destroy();
  else write(response, fault, jsonOf(fault, JSON.stringify(body)));
}

interface Written {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Buffer;
}

const jsonOf = (fault: Fault, body: string): Written => ({
  status: statusOf(fault),
  contentType: "application/json",
  body,
});

function write(response: ServerResponse, fault: Fault, { status, contentType, body }: Written): void {
  response.writeHead(status, {
    "content-type": contentType,
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
