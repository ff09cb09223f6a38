import { Fault, type CallHead } from "@sluice/contracts";
import { type Connections, Exchange, type UpstreamRequest, signatureOf } from "@sluice/relay";
import type { Fields } from "./credentials/index.ts";
import { identityHeaders } from "./headers.ts";
import type { Connected, Reachable } from "./connected-endpoints.ts";

const abandonMs = 10_000;
const abandoned = new Fault("client_left", "nobody waits for this answer");

type Upstream = Connected<Reachable>;

/** What of a call is sent. */
interface Sent extends Pick<CallHead, "http" | "headers" | "resumeFrom" | "chunked"> {
  /** Who the call is of; nobody where the gateway asks for itself. */
  readonly agent?: CallHead["agent"];
  readonly session?: Pick<NonNullable<CallHead["session"]>, "upstream">;
}

export interface ForwardOptions {
  readonly head: Sent;
  readonly upstream: Upstream;
  readonly connections: Connections;
  readonly body: Buffer | AsyncIterable<Buffer> | null;
  readonly traceparent: string;
  /** Another path of the same origin than the endpoint's own, with its query. */
  readonly path?: string;
}

/** Sends a call once, with the gateway's own credentials. What the agent authenticated with is not even known here. */
export function forward({ head, upstream: at, connections, body, traceparent, path }: ForwardOptions): Exchange {
  const upstream = path === undefined ? at : elsewhere(at, path);
  const { credential, signer } = upstream;
  const headers: Fields = {
    ...head.headers,
    ...(head.agent !== undefined && identityHeaders(head.agent)),
    ...(head.session !== undefined && { "mcp-session-id": head.session.upstream }),
    ...(head.resumeFrom !== undefined && { "last-event-id": head.resumeFrom }),
    ...(head.chunked !== undefined && { "content-length": String(head.chunked.bytes) }),
    "accept-encoding": "identity",
    traceparent,
  };
  const request = (shown: Fields): UpstreamRequest => ({
    path: upstream.path,
    method: head.http,
    headers: Object.assign(headers, shown, sign(upstream, head, body)),
    body,
    ...(credential !== undefined && { refusal: (status) => refusal(upstream, shown, status) }),
    ...(credential === undefined && signer !== undefined && { refusal: upstream.signatureRefused }),
  });
  const shown = credential?.fields() ?? {};
  return new Exchange(connections, shown instanceof Promise ? shown.then(request) : request(shown));
}

function elsewhere(upstream: Upstream, path: string): Upstream {
  const [pathOnly, query] = cutQuery(path);
  return { ...upstream, path, pathOnly, query };
}

/** An address without its query, and that query, which may hold question marks. */
export function cutQuery(address: string): readonly [string, string] {
  const at = address.indexOf("?");
  return at < 0 ? [address, ""] : [address.slice(0, at), address.slice(at + 1)];
}

/** A 401 is about the gateway's credentials here: the agent can't mend that, and must not take it for its own login. */
function refusal({ credential, title, lookAgain }: Upstream, shown: Fields, status: number): Fault | undefined {
  if (status !== 401) return undefined;
  credential?.refused?.(shown);
  lookAgain();
  return new Fault("upstream_failed", `the ${title} refuses the gateway's credentials`);
}

/** Ends a session that no client will ever name, as far as the upstream listens. */
export function abandon(
  session: string,
  { head, upstream, traceparent }: Omit<ForwardOptions, "body" | "connections">,
) {
  const { headers, agent } = head;
  const ending: Sent = {
    http: "DELETE",
    headers,
    ...(agent !== undefined && { agent }),
    session: { upstream: session },
  };
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

function sign(upstream: Upstream, head: Sent, body: ForwardOptions["body"]): Record<string, string> {
  const { signer, pathOnly: path, query, endpoint } = upstream;
  if (signer === undefined) return {};
  const sent = { method: head.http, path, query, body, bodySha256: head.chunked?.sha256 };
  return signatureOf(signer, endpoint.signing?.mode ?? "auth-gateway", sent);
}
