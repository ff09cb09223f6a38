import type { Agent } from "./audit.ts";
import type { FaultDetails, FaultKind } from "./faults.ts";

/** Names all servers of a tenant together; no endpoint can be called so. */
export const allServers = "*";

/** What ingress hands to egress with the body: everything egress needs to forward, and nothing the agent authenticated with. */
export interface CallHead {
  readonly call: string;
  readonly tenant: string;
  readonly agent: Agent;
  readonly server: string;
  readonly http: "POST" | "GET" | "DELETE";
  /** Header fields of the client that may travel on (ingress' allow-list). */
  readonly headers: Readonly<Record<string, string>>;
  readonly era: "legacy" | "modern";
  /** The JSON-RPC method, empty where there is no body. */
  readonly method: string;
  /** The JSON-RPC id as raw JSON, where the message is a request. */
  readonly rpcId?: string;
  /** Where `isMediated`, `upstream` is what egress itself keeps of the session. */
  readonly session?: { readonly id: string; readonly upstream: string; readonly isMediated?: boolean };
  /** The client wants one plain answer and no stream; its HTTP status tells errors apart (seed 001's routes). */
  readonly isPlain?: boolean;
  /** The client wants a list in one piece. */
  readonly isWholeList?: boolean;
  /** Name of the reply stream, should the upstream stream. */
  readonly stream: string;
  /** The upstream's event id after which a GET goes on. */
  readonly resumeFrom?: string;
  readonly rule?: string;
  readonly policyVersion?: number;
  /** Bytes of the body that follow in chunks; absent when the whole body is in this message. */
  readonly chunked?: { readonly bytes: number; readonly sha256: string };
}

/** What egress says to the caller's inbox, in front of the body. */
export interface ReplyHead {
  readonly egress: string;
  /**
   * `taken`: this replica works on it, the answer takes longer than a moment. `ready`: send the chunks of the body to
   * `to`. `answer`: the upstream's answer, its body in this message or, where `chunked`, in those that follow.
   */
  readonly kind: "taken" | "ready" | "answer";
  readonly to?: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly chunked?: boolean;
  /** Instead of an upstream's answer: why there is none. */
  readonly fault?: { readonly kind: FaultKind; readonly message: string; readonly details?: FaultDetails };
}

/** The first frame of a streamed reply: the answer's head, and whose stream it is. */
export interface StreamHead {
  readonly egress: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly call: string;
  readonly tenant: string;
  readonly agent: string;
  readonly server: string;
  /** The name of the legacy session, where there is one. */
  readonly session?: string;
  readonly rpcId?: string;
  readonly era: "legacy" | "modern";
  /** A stream of the server's own messages (GET), not the answer to a request. */
  readonly listening: boolean;
}

/** Words to egress replicas about a call or stream that one of them owns. */
export interface OwnWord {
  readonly call?: string;
  readonly stream?: string;
  readonly session?: string;
  /** With the session: the call that has this JSON-RPC id. */
  readonly rpcId?: string;
  /** The ingress replica that reads from now on. */
  readonly reader?: string;
  /** With the session: by server, its resources to be watched → what the client calls them. */
  readonly subscriptions?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** A server said by this notification that a list of it has changed. */
  readonly changed?: {
    readonly tenant: string;
    readonly server: string;
    readonly method: string;
    readonly by: string;
  };
}

/** What the last frame of a streamed reply says. */
export interface StreamEnd {
  /** Whether the answer to the request was among the events. */
  readonly answered: boolean;
  /** The upstream's own last event id, where reading may go on at the upstream. */
  readonly resumeFrom?: string;
}
