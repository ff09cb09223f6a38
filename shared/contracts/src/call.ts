import type { Agent, Client, Intent, LimitState, TargetKind, ShadowDecision } from "./audit.ts";
import type { A2aCall, Dialect, Renames, TaskWatch } from "./a2a.ts";
import type { FaultDetails, FaultKind } from "./faults.ts";

/** Names all servers of a tenant together; no endpoint can be called so. */
export const allServers = "*";

/** How long a call may take to be taken by an egress replica, in milliseconds. */
export const takeCallMs = 3_000;

/** What ingress hands to egress with the body: everything egress needs to forward, and nothing the agent authenticated with. */
export interface CallHead extends Pick<Intent, "issuer" | "user" | "scopes"> {
  readonly call: string;
  /** W3C trace context of the request that it is part of. */
  readonly traceparent: string;
  readonly tenant: string;
  readonly agent: Agent;
  /** Of the caller (`identityOf`): whose its sessions, streams and answers are. */
  readonly identity: string;
  readonly server: string;
  readonly http: "POST" | "GET" | "DELETE";
  /** Header fields of the client that may travel on (ingress' allow-list). */
  readonly headers: Readonly<Record<string, string>>;
  readonly era: "legacy" | "modern";
  /** The JSON-RPC method, empty where there is no body. */
  readonly method: string;
  /** What the client called it, where that is another. */
  readonly calledBy?: string;
  /** What the method acts on, as access rules name it. */
  readonly target?: string;
  readonly targetKind?: TargetKind;
  /** The JSON-RPC id as raw JSON, where the message is a request. */
  readonly rpcId?: string;
  /** Where `isMediated`, `upstream` is what egress itself keeps of the session. */
  readonly session?: {
    readonly id: string;
    readonly upstream: string;
    readonly isMediated?: boolean;
    readonly clientClass?: string;
  };
  /** The client wants one plain answer and no stream; its HTTP status tells errors apart (seed 001's routes). */
  readonly isPlain?: boolean;
  /** The client wants a list in one piece. */
  readonly isWholeList?: boolean;
  /** Name of the reply stream, should the upstream stream; its first reader has the same name. */
  readonly stream: string;
  /** Unix milliseconds on the caller's clock: whoever takes the call later leaves it, because the caller has given it up. */
  readonly notAfter: number;
  /** The upstream's event id after which a GET goes on. */
  readonly resumeFrom?: string;
  readonly rule?: string;
  readonly policyVersion?: number;
  readonly shadow?: ShadowDecision;
  /** What the client says it is, now or when its session began. */
  readonly client?: Client;
  /** The limit that had the least left. */
  readonly limit?: LimitState;
  /** Of a call by A2A. */
  readonly a2a?: A2aCall;
  /** Bytes of the body that follow in chunks; absent when the whole body is in this message. */
  readonly chunked?: { readonly bytes: number; readonly sha256: string };
}

/** What egress says to the caller's inbox, in front of the body. */
export interface ReplyHead {
  readonly egress: string;
  /**
   * `taken`: this replica works on it, the answer takes longer than a moment. `ready`: send the chunks of the body to
   * `to`. `answer`: the upstream's answer, its body in this message or, where `chunked`, in those that follow.
   * `session`: the session that the stream begins with, whose head must not hold the id. `follow`: what is asked for goes
   * into another stream already.
   */
  readonly kind: "taken" | "ready" | "answer" | "session" | "follow";
  readonly session?: string;
  readonly to?: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly chunked?: boolean;
  /** What the body, or the answer's stream, is written in; absent but for A2A. */
  readonly dialect?: Dialect;
  /** A2A: names that came about with this answer, beside those of the verdict. */
  readonly renames?: Renames;
  /**
   * Of `follow`: the subscription that is open. With `after` the body is the task as it was at that piece of the stream, and
   * what comes behind is news; without, that replica is to be asked.
   */
  readonly follow?: {
    readonly watch: TaskWatch;
    readonly after?: number;
    /** With `after`: a position in REPLIES that all news is behind, and the JSON-RPC id that the events have. */
    readonly fromSequence?: number;
    readonly rpcId?: string;
  };
  /** Instead of an upstream's answer: why there is none. */
  readonly fault?: { readonly kind: FaultKind; readonly message: string; readonly details?: FaultDetails };
}

/** The first frame of a streamed reply: the answer's head, and whose stream it is. It is stored: no credential may be in it. */
export interface StreamHead {
  readonly egress: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The answer has an `mcp-session-id`: the call's own, or the one told ahead to whoever made the call. */
  readonly namesSession: boolean;
  readonly call: string;
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
  /** What was called, so that the rules can be asked again when somebody comes back for the rest. */
  readonly method: string;
  readonly target?: string;
  readonly targetKind?: TargetKind;
  /** The name of the legacy session, where there is one. */
  readonly session?: string;
  readonly rpcId?: string;
  readonly era: "legacy" | "modern";
  /** A stream of the server's own messages (GET), not the answer to a request. */
  readonly listening: boolean;
  /** A2A: what the events are written in, and the upstream's id of the task, where that is known from the start. */
  readonly dialect?: Dialect;
  readonly task?: string;
  /** A2A: names that came about with it, beside those of the verdict. */
  readonly renames?: Renames;
}

/** Words to egress replicas about a call or stream that one of them owns. */
export interface OwnWord {
  readonly call?: string;
  readonly stream?: string;
  readonly session?: string;
  /** With the session: the call that has this JSON-RPC id. */
  readonly rpcId?: string;
  /** Who reads from now on, reads no longer, or has read: `<ingress instance>.<number of its call>`. */
  readonly reader?: string;
  /** How far the reader is: the number of the last piece that it wrote to its client. */
  readonly readUpTo?: number;
  /** With the session: its client wants to hear of other resources than before. */
  readonly subscribes?: true;
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
  /** A2A: the task goes on, and another replica may be asked for the rest. */
  readonly isMoved?: true;
}
