import type { Sides, WireRequest } from "@sluice/a2a";
import { isStreamed, type A2aCall } from "@sluice/contracts";
import type { ActiveCall } from "../active-call.ts";
import type { Exchange } from "@sluice/relay";
import { forward } from "../forward.ts";
import { pathOf, type AgentInterface } from "./agent-interface.ts";
import type { Agent } from "./agents.ts";
import type { Hold } from "./held-bytes.ts";

/** A call that is ready to go to its agent: the interface is chosen, the request is in the agent's dialect. */
export interface AgentCall {
  readonly call: ActiveCall;
  readonly a2a: A2aCall;
  readonly agent: Agent;
  readonly at: AgentInterface;
  readonly sides: Sides;
  /** As the client made it, and as its agent gets it. */
  readonly asked: WireRequest;
  readonly request: WireRequest;
  /** What of it is held whole. */
  readonly hold: Hold;
  /** Largest answer that is relayed. */
  readonly maxAnswerBytes: number;
  readonly traceparent: string;
}

/** What the gateway itself says of every request. */
const ownFields = new Set(["content-type", "accept", "a2a-version", "a2a-extensions", "x-a2a-extensions"]);

/**
 * Sends a request to the agent of a call, once, with the gateway's own credentials; another than the call's own where one
 * is given. It ends with its call. @throws Fault where there is no room, or the agent did not answer lately
 */
export function send(to: AgentCall, request = to.request, operation = to.sides.operation): Exchange {
  const { call, a2a, agent, at, traceparent } = to;
  const streams = isStreamed(operation);
  const connections = streams ? agent.streams : agent.calls;
  connections.requireRoom();
  const { forwardHeaders } = agent.endpoint;
  const allowed = ([name]: [string, string]) => forwardHeaders.includes(name) && !ownFields.has(name);
  const exchange = forward({
    head: {
      http: request.http,
      agent: call.head.agent,
      headers: {
        ...Object.fromEntries(Object.entries(call.head.headers).filter(allowed)),
        ...fieldsOf(at, { streams, hasBody: request.body.length > 0 }),
        ...extensionsOf(at, a2a.extensions),
      },
    },
    upstream: agent,
    connections,
    body: request.body.length > 0 ? request.body : null,
    traceparent,
    path: pathOf(at, request.rest),
  });
  call.attach(exchange);
  return exchange;
}

/** What the gateway itself says of a request to an agent. */
export function fieldsOf({ dialect }: AgentInterface, { streams, hasBody }: { streams: boolean; hasBody: boolean }) {
  const { version, binding } = dialect;
  const media = binding === "HTTP+JSON" && version === "1.0" ? "application/a2a+json" : "application/json";
  const accepted = media === "application/json" ? media : `${media}, application/json`;
  return {
    accept: streams ? `text/event-stream, ${accepted}` : accepted,
    ...(hasBody && { "content-type": media }),
    ...(version === "1.0" && { "a2a-version": version }),
  };
}

/** 1.0 dropped the `X-` of the field. */
function extensionsOf({ dialect }: AgentInterface, extensions: string | undefined): Record<string, string> {
  if (extensions === undefined) return {};
  return { [dialect.version === "1.0" ? "a2a-extensions" : "x-a2a-extensions"]: extensions };
}
