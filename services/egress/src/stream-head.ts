import { sessionNameOf, type StreamHead } from "@sluice/contracts";
import type { ActiveCall } from "./active-call.ts";

export const sessionHeader = "mcp-session-id";

export interface StreamHeadOptions {
  readonly egress: string;
  readonly call: ActiveCall;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a stream by A2A; the JSON-RPC id is the one that its events have. */
  readonly a2a?: Pick<StreamHead, "dialect" | "task" | "renames" | "rpcId">;
}

/** The head of an answer's stream. It is stored, so it has the session's name and not its id. */
export function streamHead({ egress, call, status, headers, a2a }: StreamHeadOptions): StreamHead {
  const { head } = call;
  const { [sessionHeader]: session, ...others } = headers;
  return {
    egress,
    status,
    headers: others,
    namesSession: session !== undefined,
    call: head.call,
    tenant: head.tenant,
    identity: head.identity,
    server: head.server,
    era: head.era,
    listening: call.listening,
    method: head.method || head.http,
    ...(head.target !== undefined && { target: head.target }),
    ...(head.targetKind !== undefined && { targetKind: head.targetKind }),
    ...(head.session !== undefined && { session: sessionNameOf(head.session.id) }),
    ...(a2a === undefined && head.rpcId !== undefined && { rpcId: head.rpcId }),
    ...a2a,
  };
}
