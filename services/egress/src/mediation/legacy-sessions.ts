import { sessionNameOf, type CallHead } from "@sluice/contracts";
import type { Principals } from "../principals.ts";
import type { Changes } from "./changes.ts";
import { modernClient } from "./client.ts";
import { LegacyPeer } from "./legacy-peer.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import type { About, Client, Peer } from "./peer.ts";
import type { Peers } from "./peers.ts";
import type { Route } from "./route.ts";
import { SessionHandle } from "./session-handle.ts";
import { readState, writeState, type SessionState } from "./session-state.ts";
import type { Line } from "./wire.ts";
import type { ToolSchemas } from "./param-headers.ts";

export interface LegacySessionsOptions {
  readonly peers: Peers;
  readonly principals: Principals;
  readonly instance: string;
  readonly lineOf: (head: CallHead, server: string) => Line;
  readonly schemasOf: (head: CallHead, server: string) => ToolSchemas;
  readonly changes: Changes;
  /** Says to all replicas that a session's calls or streams have to heed something. */
  readonly tell: (word: { session: string; rpcId?: string; subscriptions?: SessionState["subscriptions"] }) => void;
}

const openMs = 10_000;

/** Sessions of legacy agents that the gateway itself holds, because no single upstream of their own era does. */
export class LegacySessions {
  readonly #options: LegacySessionsOptions;
  /** Connections of the old transport, by the session's name and the server: they live in this replica alone. */
  readonly #connections = new Map<string, OldSsePeer>();
  /** Streams of this replica that have to hear of new subscriptions, by session. */
  readonly #listening = new Map<string, Set<(subscriptions: SessionState["subscriptions"]) => void>>();

  constructor(options: LegacySessionsOptions) {
    this.#options = options;
  }

  /** Opens a session with every upstream that answers. @throws Fault where none does. */
  async open({
    head,
    route,
    client,
    version,
    signal,
  }: {
    head: CallHead;
    route: Route;
    client: Client;
    version: string;
    signal: AbortSignal;
  }) {
    const { principals, instance } = this.#options;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(openMs * 3)]);
    const { answers, statuses } = await route.gather((server) =>
      this.#options.peers.eras.heeding(this.#options.lineOf(head, server), () =>
        this.#introduce(head, server, { client, signal: limited }),
      ),
    );
    const inner: Record<string, SessionState["inner"][string]> = {};
    const connections: [string, OldSsePeer][] = [];
    for (const { server, answer } of answers) {
      if (answer.peer instanceof LegacyPeer) inner[server] = answer.peer.session;
      if (answer.peer instanceof OldSsePeer) connections.push([server, answer.peer]);
    }
    const state = writeState({ client, version, inner, subscriptions: {} });
    const owner = connections.length > 0 ? instance : undefined;
    const id = await principals.openSession(head, state, { isMediated: true, ...(owner !== undefined && { owner }) });
    for (const [server, connection] of connections) this.#connections.set(connectionKey(id, server), connection);
    return { opened: answers.map(({ server, answer }) => ({ server, about: answer.about })), statuses, id };
  }

  /** The session that a call names. */
  handle(head: CallHead): SessionHandle | undefined {
    if (head.session === undefined) return undefined;
    return new SessionHandle(this.#options, this, {
      head,
      session: head.session,
      state: readState(head.session.upstream),
    });
  }

  async end(id: string, handle: SessionHandle, route: Route): Promise<void> {
    await this.#options.principals.endSession(id);
    await Promise.allSettled(route.servers.map((server) => handle.close(server)));
  }

  connection(id: string, server: string): OldSsePeer | undefined {
    const connection = this.#connections.get(connectionKey(id, server));
    if (connection?.isOver !== true) return connection;
    this.#connections.delete(connectionKey(id, server));
    return undefined;
  }

  keep(id: string, server: string, connection: OldSsePeer): void {
    this.#connections.set(connectionKey(id, server), connection);
  }

  async dropConnection(id: string, server: string): Promise<void> {
    const connection = this.#connections.get(connectionKey(id, server));
    this.#connections.delete(connectionKey(id, server));
    await connection?.close();
  }

  /** Calls back when subscriptions change, until told to stop. */
  onSubscriptions(id: string, heed: (subscriptions: SessionState["subscriptions"]) => void): () => void {
    const all = this.#listening.get(id) ?? new Set();
    this.#listening.set(id, all.add(heed));
    return () => {
      all.delete(heed);
      if (all.size === 0) this.#listening.delete(id);
    };
  }

  subscriptionsChanged(id: string, subscriptions: SessionState["subscriptions"]): void {
    for (const heed of this.#listening.get(id) ?? []) heed(subscriptions);
  }

  async #introduce(
    head: CallHead,
    server: string,
    { client, signal }: { client: Client; signal: AbortSignal },
  ): Promise<{ peer: Peer; about: About }> {
    const { peers, lineOf, schemasOf } = this.#options;
    const line = lineOf(head, server);
    const isModern = (await peers.eras.of(line)) === "modern";
    const peer = isModern
      ? peers.modern({ line, client: modernClient(client), schemas: schemasOf(head, server), modernAgent: false })
      : await peers.open({ line, client, signal });
    return { peer, about: await peer.about(signal) };
  }
}

function connectionKey(id: string, server: string): string {
  return `${sessionNameOf(id)} ${server}`;
}
