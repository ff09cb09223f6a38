import { observeAnswer, type Observed, type WireAnswer } from "@sluice/a2a";
import { chunkBytes, Fault, type A2aOperation } from "@sluice/contracts";
import { compile, raw, scan, value } from "@sluice/json";
import { checkLargeAnswer, scanInSlices } from "../answer-check.ts";
import { type Exchange, SseReader } from "@sluice/relay";
import { isStreamAnswer, relayedHeaders } from "../headers.ts";
import { tooLarge } from "../replies.ts";
import type { AgentCall } from "./agent-call.ts";

/** A whole answer of an agent, as it came and as it is understood. */
export interface AgentAnswer {
  readonly headers: Record<string, string>;
  readonly answer: WireAnswer;
  readonly observed: Observed;
}

const nothing = compile([], []);
const idOnly = compile([["id"]], []);
/** What may be answered with nothing at all. */
const mayBeEmpty: ReadonlySet<A2aOperation> = new Set(["DeleteTaskPushNotificationConfig"]);

/**
 * Reads an answer that is no stream, and holds it whole. Of an event stream in its place the one event is the answer.
 * @throws Fault `upstream_failed` where it is none to what was asked, or too large
 */
export async function readAnswer(to: AgentCall, exchange: Exchange): Promise<AgentAnswer> {
  const { call, sides, request } = to;
  try {
    const { status, headers } = await exchange.head;
    call.lastActivity = Date.now();
    if (status >= 300 && status < 400) throw new Fault("upstream_failed", `the agent redirects (${status})`);
    if (Number(headers["content-length"]) > to.maxAnswerBytes) throw tooLarge();
    const received = await collect(to, exchange);
    const isStream = isStreamAnswer(status, headers);
    const body = isStream ? onlyEvent(received, to.maxAnswerBytes) : received;
    const relayed = relayedHeaders(isStream ? { ...headers, "content-type": "application/json" } : headers);
    const { operation, upstream } = sides;
    if (upstream.binding === "JSONRPC") await checkLargeAnswer(body, status, idOf(request.body));
    else if (status < 300 && !(body.length === 0 && mayBeEmpty.has(operation))) await requireJson(body);
    const answer = { status, contentType: relayed["content-type"] ?? "", body };
    return { headers: relayed, answer, observed: await observed(to, answer) };
  } catch (error) {
    exchange.abort(error instanceof Fault ? error : new Fault("internal", "internal error", { cause: error }));
    throw error;
  }
}

/** What fails by its status may say so in words of its own. */
async function observed({ sides: { upstream, operation } }: AgentCall, answer: WireAnswer): Promise<Observed> {
  try {
    return await observeAnswer(upstream, operation, answer);
  } catch (error) {
    if (answer.status < 400) throw error;
    return { kind: "error", isLast: true };
  }
}

/** Once its answer has begun, the agent may no longer take the time that the work itself may take. */
async function collect({ call, hold, maxAnswerBytes }: AgentCall, exchange: Exchange): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  let noted = 0;
  for await (const part of exchange) {
    parts.push(part);
    size += part.length;
    if (size > maxAnswerBytes) throw tooLarge();
    if (noted === 0 || size - noted >= chunkBytes) {
      hold.add(size - noted);
      noted = size;
      call.patienceMs = undefined;
      call.lastActivity = Date.now();
    }
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

const errorCode = compile([["error", "code"]], []);
/** No such method, no such address, no such version: what a card of other times may have led to. */
const hintingStatuses = new Set([404, 405, 410, 501]);
const hintingCodes: ReadonlySet<unknown> = new Set([-32601, -32009]);

/** The agent does not know what its card offers, as far as that can be told. */
export function hintsAtChange({ status, body }: WireAnswer): boolean {
  if (hintingStatuses.has(status)) return true;
  const seen = scan(body, errorCode);
  const [code] = seen.ok ? seen.values : [];
  return hintingCodes.has(value(body, code));
}

function onlyEvent(received: Buffer, maxBytes: number): Buffer {
  const reader = new SseReader(maxBytes);
  const events = reader.push(received).flatMap(({ data }) => (data === undefined || data.length === 0 ? [] : [data]));
  const [event] = events;
  if (event === undefined || events.length > 1)
    throw new Fault("upstream_failed", `the agent answered with ${events.length} events where one answer is due`);
  return event;
}

/** The id that the request has on its way to the agent, as raw JSON. */
function idOf(body: Buffer): string | undefined {
  const seen = scan(body, idOnly);
  const [id] = seen.ok ? seen.values : [];
  return id === undefined ? undefined : raw(body, id).toString("utf8");
}

async function requireJson(body: Buffer): Promise<void> {
  const seen = await scanInSlices(body, nothing);
  if (!seen.ok && seen.error.kind === "invalid_json")
    throw new Fault("upstream_failed", "the agent's answer is no JSON");
  if (seen.ok && seen.root.kind !== "object" && seen.root.kind !== "array")
    throw new Fault("upstream_failed", "the agent's answer is no JSON object");
}
