import { namedServer, ownName, sessionNameOf, type IngressSection, type Intent } from "@sluice/contracts";
import type { Span } from "@sluice/telemetry";
import type { Body } from "./body.ts";
import type { HandedHead } from "./conversation.ts";
import { handedOver } from "./handed-over.ts";
import { forwardedHeaders } from "./headers.ts";
import type { McpRequest } from "./mcp.ts";
import type { Operation } from "./operation.ts";
import type { Moment } from "./outcome.ts";
import type { Decided } from "./passage.ts";
import { header, pathOf, productOf } from "./request-head.ts";
import type { KeptStream } from "./resumption.ts";
import type { Target } from "./target.ts";
import { whoOf } from "./who.ts";

/** A request on its way: what was found out about it so far. */
export interface Journey extends McpRequest {
  readonly started: Moment;
  readonly section: IngressSection;
  readonly target: Target;
  readonly operation: Operation;
  readonly body: Body;
  readonly span: Span;
  /** `<ingress instance>.<number>`; names the call, its stream and its reader. */
  readonly name: string;
  /** The stream whose rest is asked for, where it is kept and the principal's own. */
  readonly kept?: KeptStream | undefined;
}

const sessionHeader = "mcp-session-id";

export const sessionOf = ({ request }: Pick<Journey, "request">) => header(request, sessionHeader);

/** What the audit trail and those who admit learn of a request. */
export function intentOf(journey: Omit<Journey, "response">): Intent {
  const { request, principal, section, target, operation, byPath, body, span, name, started, kept } = journey;
  const session = sessionOf(journey);
  const client = clientOf(journey, session);
  const server = namedServer(target.name, operation, section);
  const named = ownName(operation, server);
  return {
    call: name.replace(".", "-"),
    at: started.at,
    label: "mcp_proxy",
    tenant: principal.tenant,
    ...whoOf(principal),
    auth: principal.method,
    protocol: "mcp",
    era: operation.era,
    http: byPath?.http ?? request.method ?? "",
    path: pathOf(request),
    method: byPath?.method ?? operation.method,
    server: target.name,
    trace: span.traceId,
    bytes: body.length,
    ...(server !== undefined && { namedServer: server }),
    ...(named !== undefined && { target: named }),
    ...(operation.targetKind !== undefined && { targetKind: operation.targetKind }),
    ...(session !== undefined && { session: sessionNameOf(session) }),
    ...(operation.rpcId !== undefined && { rpcId: operation.rpcId }),
    ...(operation.argumentsHash !== undefined && { argumentsHash: operation.argumentsHash }),
    ...(kept !== undefined && { resumes: kept.called }),
    ...(client !== undefined && { client }),
  };
}

/** Whoever is in a session said it when that began: the outcome has it. */
function clientOf({ request, operation, byPath }: Pick<Journey, "request" | "operation" | "byPath">, session?: string) {
  if (byPath === undefined && operation.client !== undefined) return operation.client;
  return session === undefined ? productOf(request) : undefined;
}

/** What egress learns of a request. */
export function callHeadOf(journey: Journey, decided: Decided): HandedHead {
  const { request, section, target, operation, byPath } = journey;
  const { session } = decided.admitted;
  const sessionId = sessionOf({ request });
  return {
    ...handedOver(journey, decided),
    server: target.name,
    headers: forwardedHeaders(request.headers, { named: target.forwardHeaders, credentials: section.keyHeaders }),
    method: operation.method,
    ...(byPath !== undefined && { isPlain: true, isWholeList: byPath.wholeList === true }),
    ...(byPath !== undefined && byPath.method !== operation.method && { calledBy: byPath.method }),
    ...(sessionId !== undefined &&
      session?.ok === true &&
      session.known === undefined && {
        session: {
          id: sessionId,
          upstream: session.upstreamSession,
          ...(session.isMediated === true && { isMediated: true }),
          ...(session.clientClass !== undefined && { clientClass: session.clientClass }),
        },
      }),
  };
}
