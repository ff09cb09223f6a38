import { createHash } from "node:crypto";
import { Fault, type CallHead } from "@sluice/contracts";
import { Exchange } from "./exchange.ts";
import { identityHeaders } from "./headers.ts";
import type { Upstream } from "./upstreams.ts";

export interface ForwardOptions {
  readonly head: CallHead;
  readonly upstream: Upstream;
  readonly body: Buffer | AsyncIterable<Buffer> | null;
  readonly traceparent: string;
}

/** Signs a call and sends it, once. What the agent authenticated with is not even known here. */
export function forward({ head, upstream, body, traceparent }: ForwardOptions): Exchange {
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
  const pool = head.http === "GET" ? upstream.listening : upstream.pool;
  return new Exchange(pool, { path: upstream.path, method: head.http, headers, body });
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
