import { observeAnswer, type Observed, type WireAnswer } from "@sluice/a2a";
import { Fault } from "@sluice/contracts";
import { checkAnswer } from "../answer-check.ts";
import type { Exchange } from "../exchange.ts";
import { relayedHeaders } from "../headers.ts";
import { tooLarge } from "../replies.ts";
import type { AgentCall } from "./agent-call.ts";

/** A whole answer of an agent, as it came and as it is understood. */
export interface AgentAnswer {
  readonly headers: Record<string, string>;
  readonly answer: WireAnswer;
  readonly observed: Observed;
}

/** Reads an answer that is no stream. @throws Fault `upstream_failed` where it is none to what was asked */
export async function readAnswer(to: AgentCall, exchange: Exchange, maxBytes: number): Promise<AgentAnswer> {
  const { call, sides } = to;
  const { status, headers } = await exchange.head;
  const drop = (fault: Fault) => {
    exchange.abort(fault);
    return fault;
  };
  call.lastActivity = Date.now();
  call.patienceMs = undefined;
  if (status >= 300 && status < 400) throw drop(new Fault("upstream_failed", `the agent redirects (${status})`));
  if (Number(headers["content-length"]) > maxBytes) throw drop(tooLarge());
  const { bytes, complete } = await exchange.collect(maxBytes);
  if (!complete) throw drop(tooLarge());
  if (sides.upstream.binding === "JSONRPC") checkAnswer(bytes, status, sides.rpcId);
  const answer = { status, contentType: String(headers["content-type"] ?? ""), body: bytes };
  const observed = observeAnswer(sides.upstream, sides.operation, answer);
  return { headers: relayedHeaders(headers), answer, observed };
}
