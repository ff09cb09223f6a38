import { createHash } from "node:crypto";
import { allServers, Fault, type CallHead } from "@sluice/contracts";
import type { ActiveCall } from "../active-call.ts";
import type { Principals } from "../principals.ts";
import type { Log } from "@sluice/telemetry";
import type { Upstream, Upstreams } from "../upstreams.ts";
import type { Changes } from "./changes.ts";
import { unusable } from "./eras.ts";
import { SessionExpired, type LegacySession } from "./legacy-peer.ts";
import type { Listing, Lists, View } from "./lists.ts";
import type { ToolSchemas } from "./param-headers.ts";
import { deafSink, type Client, type Peer } from "./peer.ts";
import type { ToolGate } from "../definitions/tool-gate.ts";
import { withPeer, type Peers } from "./peers.ts";
import { Route } from "./route.ts";
import { objectOf, RpcError, type Members } from "./rpc.ts";
import type { SessionHandle } from "./session-handle.ts";
import type { Late } from "./survey.ts";
import { Standing } from "./standing.ts";
import { forwarded, type Line } from "./wire.ts";

export interface RoutesOptions {
  readonly log: Log;
  readonly upstreams: Upstreams;
  readonly principals: Principals;
  readonly peers: Peers;
  readonly lists: Lists;
  readonly changes: Changes;
  readonly maxAnswerBytes: number;
  readonly gate: ToolGate;
}

/** How long a list may take that a relayed call waits for. */
const listMs = 30_000;

/** Who asks for a route. */
export interface Traveller {
  readonly client: Client;
  /** The session that the call names. */
  readonly session: SessionHandle | undefined;
  readonly traceparent: string;
}

/** The ways from a call to the upstreams that it concerns. */
export class Routes {
  readonly #options: RoutesOptions;
  readonly #late: Late = new Map();
  readonly #standing: Standing;

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#standing = new Standing(options.log, options.changes);
  }

  of(call: ActiveCall, { client, session, traceparent }: Traveller): Route {
    const { head } = call;
    const { upstreams, principals, lists, peers, changes } = this.#options;
    return new Route({
      servers: head.server === allServers ? upstreams.namesOf(head.tenant) : [head.server],
      isMerged: head.server === allServers,
      decided: head.target,
      isWhole: head.isWholeList === true,
      mode: upstreams.prefixModeOf(head.tenant),
      lists,
      late: this.#late,
      tenant: head.tenant,
      onTarget: (server) => (call.upstream = server),
      gate: this.#options.gate,
      onDefinition: (hash) => (call.definition = hash),
      viewOf: (server) =>
        upstreams.find(head.tenant, server) === undefined ? undefined : this.#view(head, server, client),
      note: (server, failure) => this.#standing.note({ tenant: head.tenant, server }, failure),
      mayUse: principals.listFilter(head),
      withPeer: (server, sink, work) => {
        const line = this.line(head, server, traceparent);
        return peers.eras.heeding(line, () => {
          if (session !== undefined) return session.withPeer(server, sink, work);
          const told = changes.through({ tenant: head.tenant, server }, sink);
          const schemas = this.schemas(head, server, client);
          const asking = { line, client, schemas, modernAgent: head.era === "modern", signal: sink.signal };
          return withPeer(peers, asking, { sink: told, work });
        });
      },
    });
  }

  /** @throws Fault where the server cannot be used. */
  line(head: CallHead, server: string, traceparent = ""): Line {
    const upstream = this.find(head, server);
    const { maxAnswerBytes } = this.#options;
    const own = { upstream, traceparent, maxAnswerBytes };
    if (head.server === server) return { ...own, head, maxBodyBytes: Infinity };
    const headers = ownFields(head.headers, upstream);
    const maxBodyBytes = upstream.endpoint.maxPayloadBytes ?? Infinity;
    return { ...own, head: { ...head, server, headers }, maxBodyBytes };
  }

  /** @throws Fault where the server cannot be used. */
  find({ tenant }: CallHead, server: string): Upstream {
    const upstream = this.#options.upstreams.find(tenant, server);
    if (upstream === undefined) throw unusable(server);
    return upstream;
  }

  /** What a modern upstream wants to know of a tool's arguments in header fields. */
  schemas(head: CallHead, server: string, client = anonymous(head)): ToolSchemas {
    const { peers, lists } = this.#options;
    return async (tool, signal) => {
      const peer = peers.modern({
        line: this.line(head, server),
        client,
        schemas: () => Promise.resolve(undefined),
        modernAgent: false,
      });
      const { items } = await lists.get(this.#view(head, server, client), "tools", (work) => work(peer));
      signal.throwIfAborted();
      const found = items.find(({ name }) => name === tool);
      return found === undefined ? undefined : objectOf(found["inputSchema"]);
    };
  }

  /** What the server of a relayed call lists to its caller: in the session of the call, where it has one. */
  async tools(head: CallHead, capabilities: Members, isAnew: boolean): Promise<Listing> {
    const { peers, lists } = this.#options;
    const client = { ...anonymous(head), capabilities };
    const line = this.line(head, head.server);
    const signal = AbortSignal.timeout(listMs);
    const { session } = head;
    const speak = async <T>(work: (peer: Peer) => Promise<T>): Promise<T> => {
      if (session !== undefined)
        return await work(peers.resume(line, relayedSession(head, session.upstream))).catch(sessionGone);
      const schemas = () => Promise.resolve(undefined);
      const asking = { line, client, schemas, modernAgent: false, signal };
      return await withPeer(peers, asking, { sink: deafSink(signal), work });
    };
    const view = this.#view(head, head.server, client);
    const shown = `${view.shown}\0relayed\0${session?.clientClass ?? session?.id ?? ""}`;
    const own: View = { ...view, shown, hashesOnly: true };
    const listing = isAnew ? lists.getAnew(own, "tools", speak) : lists.get(own, "tools", speak);
    return await listing.catch((error: unknown) => {
      throw error instanceof RpcError ? new Fault("upstream_failed", "the server does not list its tools") : error;
    });
  }

  #view(head: CallHead, server: string, { capabilities }: Client): View {
    const line = this.line(head, server);
    const { endpoint } = line.upstream;
    const { "user-agent": _agent, ...fields } = forwarded(line);
    const sorted = Object.entries(fields).toSorted(([one], [other]) => (one < other ? -1 : 1));
    return {
      tenant: head.tenant,
      server,
      url: endpoint.url,
      identity: head.identity,
      // In a session an upstream is not asked again what it said of itself: less is known of it.
      shown: createHash("sha256")
        .update(JSON.stringify([capabilities, sorted, head.session === undefined, endpoint.toolDefinitions ?? "off"]))
        .digest("base64url"),
      cacheMs: endpoint.listCacheSeconds * 1000,
    };
  }
}

/** A session of the agent's own with an upstream; what was said when it began went by. */
function relayedSession({ headers }: CallHead, id: string): LegacySession {
  const about = { capabilities: { tools: {} }, serverInfo: {} };
  return { id, version: headers["mcp-protocol-version"] ?? "2025-03-26", about };
}

/** Whoever calls has to begin anew, as where the upstream refuses the call itself. */
function sessionGone(error: unknown): never {
  if (!(error instanceof SessionExpired)) throw error;
  throw new Fault("session_not_found", "the session is unknown or has ended: initialize again");
}

/** What every MCP message may carry on, whatever an endpoint names. */
const always = /^(?:accept|accept-language|content-type|user-agent|mcp-.*)$/;

/** Of the fields that some server behind an address wants, those that this one does. */
function ownFields(headers: CallHead["headers"], { endpoint }: Upstream): Record<string, string> {
  const isOwn = (name: string) => always.test(name) || endpoint.forwardHeaders.includes(name);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => isOwn(name)));
}

/** An agent that opens no session says nothing of itself. */
export function anonymous({ agent }: CallHead): Client {
  return { info: { name: agent.name ?? agent.id, version: "0" }, capabilities: {} };
}
