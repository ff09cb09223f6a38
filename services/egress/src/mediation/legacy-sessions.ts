import { Fault, sessionNameOf, type CallHead } from "@sluice/contracts";
import type { Principals } from "../principals.ts";
import type { Changes } from "./changes.ts";
import { LegacyPeer, SessionExpired } from "./legacy-peer.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import { deafSink, type About, type Client, type Peer, type Sink, type Wanted } from "./peer.ts";
import type { Peers } from "./peers.ts";
import type { Route } from "./route.ts";
import { invalidParams, RpcError, type Members, type Request } from "./rpc.ts";
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
      this.#introduce(head, server, { client, signal: limited }),
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

/** One session in the hands of one call. */
export class SessionHandle {
  readonly #options: LegacySessionsOptions;
  readonly #all: LegacySessions;
  readonly #head: CallHead;
  readonly #id: string;
  state: SessionState;

  constructor(
    options: LegacySessionsOptions,
    all: LegacySessions,
    { head, session, state }: { head: CallHead; session: { id: string }; state: SessionState },
  ) {
    this.#options = options;
    this.#all = all;
    this.#head = head;
    this.#id = session.id;
    this.state = state;
  }

  /**
   * Speaks to a server in this session. One that the upstream has forgotten is opened anew, once: it refused the request,
   * so nothing is done twice.
   */
  async withPeer<T>(server: string, sink: Sink, work: (peer: Peer) => Promise<T>): Promise<T> {
    const told = this.#told(server, sink);
    const peer = await this.#peer(server, told);
    try {
      return await work(peer);
    } catch (error) {
      if (!(error instanceof SessionExpired)) throw error;
      return await work(await this.#reopen(server, told));
    }
  }

  async setLevel(route: Route, logLevel: string): Promise<void> {
    await this.#update({ ...this.state, client: { ...this.state.client, logLevel } });
    const request = { method: "logging/setLevel", params: { level: logLevel } };
    await this.#eachLegacy(route, async (peer, sink) => {
      const { capabilities } = await peer.about(sink.signal);
      if (capabilities["logging"] !== undefined) await peer.request(request, sink);
    });
  }

  /** Says something to every upstream that keeps a session. */
  async tellAll(route: Route, notice: Request): Promise<void> {
    await this.#eachLegacy(route, (peer) => peer.notify(notice));
  }

  /** Ends the call of this session that has this JSON-RPC id, on whatever replica. */
  cancel(requestId: unknown): void {
    if (typeof requestId === "string" || typeof requestId === "number")
      this.#options.tell({ session: this.#id, rpcId: JSON.stringify(requestId) });
  }

  async watch(route: Route, { method, params }: Request, sink: Sink): Promise<Members> {
    const uri = params?.["uri"];
    if (typeof uri !== "string") throw new RpcError(invalidParams, `${method} needs "params.uri" as a string`);
    const target = (await route.resolve("resources", uri)) ?? { server: route.servers[0] ?? "", own: uri };
    const isSubscribe = method === "resources/subscribe";
    if (!(await this.#isModern(target.server)))
      await this.withPeer(target.server, sink, (peer) => peer.request({ method, params: { uri: target.own } }, sink));
    const { [target.own]: _old, ...others } = this.state.subscriptions[target.server] ?? {};
    const mine = isSubscribe ? { ...others, [target.own]: uri } : others;
    await this.#update({ ...this.state, subscriptions: { ...this.state.subscriptions, [target.server]: mine } });
    this.#options.tell({ session: this.#id, subscriptions: this.state.subscriptions });
    return {};
  }

  /** Hands over what all upstreams say of their own accord, until the signal. */
  async listen(route: Route, sink: Sink): Promise<void> {
    const { tenant } = this.#head;
    const watched = route.servers.map((server) =>
      this.#options.changes.watch({ tenant, server }, (method) => sink.notify({ method })),
    );
    await Promise.allSettled(route.servers.map((server) => this.#listenTo(server, this.#told(server, sink))));
    if (!sink.signal.aborted)
      await new Promise<void>((resolve) => sink.signal.addEventListener("abort", () => resolve(), { once: true }));
    for (const off of watched) off();
  }

  async close(server: string): Promise<void> {
    await this.#all.dropConnection(this.#id, server);
    const inner = this.state.inner[server];
    if (inner !== undefined) await this.#options.peers.resume(this.#line(server), inner).close();
  }

  async #listenTo(server: string, sink: Sink): Promise<void> {
    let { subscriptions } = this.state;
    const named: Sink = {
      ...sink,
      notify: ({ method, params }) => {
        const uri = subscriptions[server]?.[String(params?.["uri"])];
        sink.notify({ method, ...(params && { params: uri === undefined ? params : { ...params, uri } }) });
      },
    };
    if (!(await this.#isModern(server))) {
      const off = this.#all.onSubscriptions(this.#id, (changed) => (subscriptions = changed));
      return await this.withPeer(server, named, (peer) => peer.listen({}, named)).finally(off);
    }
    const peer = await this.#peer(server, named);
    while (!sink.signal.aborted) {
      const again = new AbortController();
      const off = this.#all.onSubscriptions(this.#id, (changed) => {
        subscriptions = changed;
        again.abort();
      });
      const signal = AbortSignal.any([sink.signal, again.signal]);
      const resourceSubscriptions = Object.keys(subscriptions[server] ?? {});
      await peer
        .listen({ ...allChanges, resourceSubscriptions }, { ...named, signal })
        .catch((error: unknown) => {
          if (!again.signal.aborted) throw error;
        })
        .finally(off);
      if (!again.signal.aborted) return;
    }
  }

  async #eachLegacy(route: Route, work: (peer: Peer, sink: Sink) => Promise<unknown>): Promise<void> {
    const sink = deafSink(AbortSignal.timeout(openMs));
    await Promise.allSettled(
      route.servers.map(async (server) => {
        if (!(await this.#isModern(server))) await this.withPeer(server, sink, (peer) => work(peer, sink));
      }),
    );
  }

  async #isModern(server: string): Promise<boolean> {
    return (await this.#options.peers.eras.of(this.#line(server))) === "modern";
  }

  async #peer(server: string, sink: Sink): Promise<Peer> {
    const { peers, schemasOf } = this.#options;
    const line = this.#line(server);
    const inner = this.state.inner[server];
    const connection = this.#all.connection(this.#id, server);
    if (connection !== undefined) return connection;
    if (inner !== undefined) {
      const peer = peers.resume(line, inner);
      peer.attach(line, sink);
      return peer;
    }
    if (!(await this.#isModern(server))) return await this.#reopen(server, sink);
    const client = modernClient(this.state.client);
    return peers.modern({ line, client, schemas: schemasOf(this.#head, server), modernAgent: false });
  }

  async #reopen(server: string, sink: Sink): Promise<Peer> {
    const line = this.#line(server);
    const peer = await this.#options.peers.open({ line, client: this.state.client, signal: sink.signal });
    peer.attach(line, sink);
    if (peer instanceof OldSsePeer) this.#all.keep(this.#id, server, peer);
    else await this.#update({ ...this.state, inner: { ...this.state.inner, [server]: peer.session } });
    return peer;
  }

  #told(server: string, sink: Sink): Sink {
    return this.#options.changes.through({ tenant: this.#head.tenant, server }, sink);
  }

  #line(server: string): Line {
    return this.#options.lineOf(this.#head, server);
  }

  async #update(state: SessionState): Promise<void> {
    this.state = state;
    const { principals } = this.#options;
    if (!(await principals.updateSession(this.#head, sessionNameOf(this.#id), writeState(state))))
      throw new Fault("session_not_found", "the session has ended: initialize again");
  }
}

const allChanges: Wanted = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

/** A legacy client that can be asked to fill in a form says so with an empty object. */
function modernClient(client: Client): Client {
  const { elicitation, sampling, roots } = client.capabilities;
  const capabilities = {
    ...(elicitation !== undefined && { elicitation: isEmpty(elicitation) ? { form: {} } : elicitation }),
    ...(sampling !== undefined && { sampling }),
    ...(roots !== undefined && { roots: {} }),
  };
  return { ...client, capabilities };
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function connectionKey(id: string, server: string): string {
  return `${sessionNameOf(id)} ${server}`;
}
