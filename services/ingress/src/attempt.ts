import { allServers, type A2aOperation, type Dialect, type Fault, type Intent, type Protocol } from "@sluice/contracts";
import { eraOf } from "./operation.ts";
import type { Moment } from "./outcome.ts";
import { header, pathOf, productOf, type RequestHead } from "./request-head.ts";
import type { Principal } from "./tenants.ts";
import { whoOf } from "./who.ts";

/** What a request does, where that could not be read. */
const unknownMethod = "unknown";

/** A request of somebody known that is refused before anybody is asked for admission, as far as it is known. */
export interface Attempt {
  readonly request: RequestHead;
  readonly principal: Principal;
  readonly protocol: Protocol;
  /** `<ingress instance>.<number>` */
  readonly name: string;
  readonly started: Moment;
  readonly traceId: string;
  /** The server or agent, where there is one of that name. */
  readonly server?: string | undefined;
  readonly bytes?: number;
  readonly rpcId?: string | undefined;
  readonly dialect?: Dialect | undefined;
  readonly operation?: A2aOperation | undefined;
  /** In place of a path that holds what nobody may read. */
  readonly path?: string | undefined;
}

/** How somebody known was refused. */
export interface RefusedAttempt {
  readonly intent: Intent;
  readonly started: Moment;
  readonly fault: Fault;
  readonly status: number;
}

const longestRpcId = 256;

/** What the audit trail gets of it. */
export function refusedIntentOf(attempt: Attempt): Intent {
  const { request, principal, protocol, name, started, traceId, server, bytes, rpcId, dialect, operation } = attempt;
  const { path = pathOf(request) } = attempt;
  const isA2a = protocol === "a2a";
  const client = productOf(request);
  return {
    call: name.replace(".", "-"),
    at: started.at,
    label: isA2a ? "a2a_proxy" : "mcp_proxy",
    tenant: principal.tenant,
    ...whoOf(principal),
    auth: principal.method,
    protocol,
    era: isA2a ? "modern" : eraOf(request.headers),
    http: (request.method ?? "").slice(0, 8),
    path,
    method: operation ?? methodOf(request),
    server: server ?? allServers,
    trace: traceId,
    bytes: bytes ?? saidLength(request),
    ...(rpcId !== undefined && { rpcId: rpcId.slice(0, longestRpcId) }),
    ...(client !== undefined && { client }),
    ...(isA2a && server !== undefined && { target: server, targetKind: "agents" as const }),
    ...(isA2a && dialect !== undefined && { a2a: dialect }),
  };
}

/** What a request does that has no body, or none that was read. */
export function methodOf({ method = "" }: RequestHead): string {
  return method === "POST" ? unknownMethod : method;
}

/** How many bytes the request says that it has; 0 where it does not say. */
function saidLength(request: RequestHead): number {
  const length = Number(header(request, "content-length") ?? 0);
  return Number.isSafeInteger(length) && length >= 0 ? length : 0;
}
