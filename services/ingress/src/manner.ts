import { faultEvent, type Fault, type Protocol, type ReplyHead, type StreamHead } from "@sluice/contracts";
import type { HandedHead } from "./conversation.ts";

/** What is a protocol's own of the way in which a call is handed to egress and answered. */
export interface Manner {
  readonly protocol: Protocol;
  /** How long an answer may take once a replica works on it; without it, as long as that replica lives. */
  readonly responseTimeoutMs?: number;
  /** What egress is told when the client leaves before it is answered. */
  readonly onLeaving: "cancel" | "detach" | "nothing";
  /** The lines of the event that ends a stream whose replica died; without it, the stream just ends. */
  readonly lastEvent: (fault: Fault) => string | undefined;
  /** A stream that any number may read, and that may go on elsewhere; told its head before anything is written of it. */
  readonly shared?: { readonly onHead: (head: StreamHead) => void };
  /** How an answer goes on that may not go on as it came. */
  readonly rewriteOf?: (head: ReplyHead) => Rewrite | undefined;
}

/** Makes another answer of one that came; it is called with the whole of it. */
export interface Rewrite {
  /** Books so many bytes that are held of the answer, 0 when they are let go. @throws Fault */
  readonly book: (bytes: number) => void;
  /** @throws Fault */
  readonly run: (body: Buffer) => Rewritten | Promise<Rewritten>;
}

export interface Rewritten {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * MCP: in the modern era a closed connection cancels the call; in the legacy era it does not, and the client may come back
 * for a stream.
 */
export function mannerOf({ era, rpcId }: HandedHead, responseTimeoutMs: number): Manner {
  return {
    protocol: "mcp",
    responseTimeoutMs,
    onLeaving: era === "modern" ? "cancel" : "detach",
    lastEvent: (fault) => (rpcId === undefined ? undefined : `${faultEvent(rpcId, fault)}\n`),
  };
}
