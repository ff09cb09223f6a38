import { createHash } from "node:crypto";
import { Fault, type CallHead } from "@sluice/contracts";
import type { Connections } from "./connections.ts";
import { Exchange } from "./exchange.ts";
import { identityHeaders } from "./headers.ts";
import type { Upstream } from "./upstreams.ts";

const abandonMs = 10_000;
const abandoned = new Fault("client_left", "nobody waits for this answer");

export interface ForwardOptions {
  readonly head: CallHead;
  readonly upstream: Upstream;
  readonly connections: Connections;
  readonly body: Buffer | AsyncIterable<Buffer> | null;
  readonly traceparent: string;
}

/** Signs a call and sends it, once. What the agent authenticated with is not even known here. */
export function forward({ head, upstream, connections, body, traceparent }: ForwardOptions): Exchange {
  const headers: Record<string, string> = {
    ...head.headers,
    ...identityHeaders(head.agent),
    ...(head.session !== undefined && { "mcp-session-id": head.session.upstream }),
    ...(head.resumeFrom !== undefined && { "last-event-id": head.resumeFrom }),
    ...(head.chunked !== undefined && { "content-length": String(head.chunked.bytes) }),
    "accept-encoding": "identity",
    traceparent,
  };
  if (upstream.signer !== undefined) Object.assign(headers, sign(upstream, head, body));
  return new Exchange(connections, { path: upstream.path, method: head.http, headers, body });
}

/** Ends a session that no client will ever name, as far as the upstream listens. */
export function abandon(
  session: string,
  { head, upstream, traceparent }: Omit<ForwardOptions, "body" | "connections">,
) {
  const { chunked: _chunked, ...rest } = head;
  const ending: CallHead = { ...rest, http: "DELETE", session: { id: "", upstream: session } };
  try {
    const exchange = forward({ head: ending, upstream, connections: upstream.calls, body: null, traceparent });
    const timer = setTimeout(() => exchange.abort(abandoned), abandonMs);
    exchange.head
      .catch(() => {})
      .finally(() => {
        clearTimeout(timer);
        exchange.abort(abandoned);
      });
  } catch {
    // No room: it ends by its own deadline there.
  }
}

function sign(upstream: Upstream, head: CallHead, body: ForwardOptions["body"]): Record<string, string> {
  const { signer, pathOnly, query, endpoint } = upstream;
  if (signer === undefined) return {};
  const strict = endpoint.signing?.mode === "strict";
  const bodySha256 = strict ? (head.chunked?.sha256 ?? sha256(body)) : undefined;
  return signer.sign({ method: head.http, path: pathOnly, query, ...(bodySha256 !== undefined && { bodySha256 }) });
}

function sha256(body: ForwardOptions["body"]): string {
  if (body !== null && !Buffer.isBuffer(body)) throw new Fault("internal", "a streamed body needs its hash");
  return createHash("sha256")
    .update(body ?? "")
    .digest("hex");
}
