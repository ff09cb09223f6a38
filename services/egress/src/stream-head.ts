import type { Bus } from "@sluice/bus";
import { sessionNameOf, type StreamHead } from "@sluice/contracts";
import type { ActiveCall } from "./active-call.ts";

const sessionHeader = "mcp-session-id";

export interface StreamHeadOptions {
  readonly bus: Bus;
  readonly call: ActiveCall;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** The head of an answer's stream. It is stored, so it has the session's name and not its id. */
export function streamHead({ bus, call, status, headers }: StreamHeadOptions): StreamHead {
  const { head } = call;
  const { [sessionHeader]: session, ...others } = headers;
  return {
    egress: bus.instance,
    status,
    headers: others,
    namesSession: session !== undefined,
    call: head.call,
    tenant: head.tenant,
    agent: head.agent.id,
    server: head.server,
    era: head.era,
    listening: call.listening,
    method: head.method || head.http,
    ...(head.target !== undefined && { target: head.target }),
    ...(head.targetKind !== undefined && { targetKind: head.targetKind }),
    ...(head.session !== undefined && { session: sessionNameOf(head.session.id) }),
    ...(head.rpcId !== undefined && { rpcId: head.rpcId }),
  };
}
