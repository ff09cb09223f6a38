import type { ReadRequest } from "@sluice/a2a";
import type { IngressSection, Intent } from "@sluice/contracts";
import type { Span } from "@sluice/telemetry";
import type { Answer } from "../answer.ts";
import type { Body } from "../body.ts";
import type { HandedHead } from "../conversation.ts";
import { handedOver } from "../handed-over.ts";
import { forwardedHeaders } from "../headers.ts";
import type { Moment } from "../outcome.ts";
import type { Decided } from "../passage.ts";
import { header, pathOf, productOf, type RequestHead } from "../request-head.ts";
import type { Principal } from "../tenants.ts";
import { whoOf } from "../who.ts";

/** Where a call goes: one agent of a tenant. */
export type AgentTarget = IngressSection["agentEndpoints"][number];

/** A call by A2A on its way: what was found out about it so far. */
export interface A2aJourney {
  readonly request: RequestHead;
  readonly response: Answer;
  readonly principal: Principal;
  readonly section: IngressSection;
  readonly agent: AgentTarget;
  readonly read: ReadRequest;
  /** What stands behind the agent's address, with the query. */
  readonly rest: string;
  readonly body: Body;
  readonly span: Span;
  readonly started: Moment;
  /** `<ingress instance>.<number>`; names the call, its stream and its reader. */
  readonly name: string;
  /** Where agents reach this gateway, without a slash at the end. */
  readonly publicUrl: string | undefined;
  /** The HTTP method that it came with, where it goes on by another. */
  readonly cameBy?: string;
  /** Nothing of the request says which of 0.1 to 0.3 it is of. */
  readonly isUnsure?: boolean;
  /** SHA-256 of what the client asks with. */
  readonly argumentsHash?: string;
  /** Its client reads no JSON-RPC: only the HTTP status tells it of an error. */
  readonly isPlain?: boolean;
}

/** What may travel on although the endpoint does not name it; egress itself says what it sends. */
const always = ["accept-language", "user-agent"];

/** What the audit trail and those who admit learn of a call. */
export function intentOf(journey: A2aJourney): Intent {
  const { request, principal, agent, read, body, span, name, started, cameBy, argumentsHash } = journey;
  const { dialect, operation, rpcId, named, messageKind } = read;
  const client = productOf(request);
  return {
    call: name.replace(".", "-"),
    at: started.at,
    label: "a2a_proxy",
    tenant: principal.tenant,
    ...whoOf(principal),
    auth: principal.method,
    protocol: "a2a",
    era: "modern",
    http: cameBy ?? request.method ?? "",
    path: pathOf(request),
    method: operation,
    target: agent.name,
    targetKind: "agents",
    server: agent.name,
    trace: span.traceId,
    bytes: body.length,
    ...(rpcId !== undefined && { rpcId }),
    ...(client !== undefined && { client }),
    ...(argumentsHash !== undefined && { argumentsHash }),
    a2a: { ...dialect, ...named, ...(messageKind !== undefined && { messageKind }) },
  };
}

/** What egress learns of a call. */
export function callHeadOf(journey: A2aJourney, decided: Decided): HandedHead {
  const { request, section, agent, read, rest, publicUrl, isUnsure } = journey;
  const { dialect, operation, named, tenant } = read;
  const { session } = decided.admitted;
  const extensions = header(request, "a2a-extensions") ?? header(request, "x-a2a-extensions");
  return {
    ...handedOver(journey, decided),
    server: agent.name,
    headers: forwardedHeaders(request.headers, {
      named: agent.forwardHeaders,
      credentials: section.keyHeaders,
      always,
    }),
    method: operation,
    a2a: {
      dialect,
      operation,
      named,
      ...(tenant !== undefined && { tenant }),
      ...(isUnsure === true && { isUnsure }),
      ...(dialect.binding === "HTTP+JSON" && { rest }),
      ...(session?.ok === true && session.known !== undefined && { known: session.known }),
      ...(extensions !== undefined && { extensions }),
      ...(publicUrl !== undefined && { publicUrl }),
    },
  };
}

/** The same once it is known what the call names: only clients of 0.1 call a task otherwise than its agent. */
export function surely(journey: A2aJourney, { admitted: { session } }: Decided): A2aJourney {
  const { read, isUnsure } = journey;
  const names = session?.ok === true ? session.known?.renames?.tasks : undefined;
  if (isUnsure !== true || names?.some(({ client }) => client === read.named.task) !== true) return journey;
  return { ...journey, isUnsure: false, read: { ...read, dialect: { ...read.dialect, version: "0.1" } } };
}
