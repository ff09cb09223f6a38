import { Fault, type CallHead } from "@sluice/contracts";
import type { Stays } from "../connected-endpoints.ts";
import { modernClient } from "./client.ts";
import { KeptState } from "./kept-state.ts";
import { SessionExpired, type LegacyPeer } from "./legacy-peer.ts";
import type { LegacySessions, LegacySessionsOptions } from "./legacy-sessions.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import { deafSink, type Peer, type Sink, type Wanted } from "./peer.ts";
import type { Route } from "./route.ts";
import { invalidParams, RpcError, textOf, type Members, type Request } from "./rpc.ts";
import type { Taken, Wish } from "./session-pool.ts";
import { innerOf, sessionOf, type InnerSession, type SessionState } from "./session-state.ts";
import { aborted, unlessAborted, type Line } from "./wire.ts";

/** How long an upstream may take for a word to all of a session's upstreams. */
const tellMs = 10_000;
const openMs = 30_000;
const allChanges: Wanted = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

/** One session in the hands of one call. */
export class SessionHandle {
  readonly #options: LegacySessionsOptions;
  readonly #all: LegacySessions;
  readonly #head: CallHead;
  readonly #id: string;
  readonly #name: string;
  readonly #kept: KeptState;

  constructor(
    options: LegacySessionsOptions,
    all: LegacySessions,
    { head, id, name, text }: { head: CallHead; id: string; name: string; text: string },
  ) {
    this.#options = options;
    this.#all = all;
    this.#head = head;
    this.#id = id;
    this.#name = name;
    const { principals } = options;
    this.#kept = new KeptState({ principals, turns: all.turns, head, name, text });
  }

  get state(): SessionState {
    return this.#kept.state;
  }

  /**
   * Speaks to a server in this session. One that the upstream has forgotten is opened anew, once: it refused the request,
   * so nothing is done twice.
   */
  async withPeer<T>(server: string, sink: Sink, work: (peer: Peer) => Promise<T>): Promise<T> {
    const told = this.#told(server, sink);
    const tried = this.state.inner[server];
    try {
      return await using(await this.#take(server, told), work);
    } catch (error) {
      if (!(error instanceof SessionExpired)) throw error;
      return await using(await this.#reopen(server, told, tried), work);
    }
  }

  async setLevel(route: Route, logLevel: string): Promise<void> {
    await this.#kept.update((state) => ({ ...state, client: { ...state.client, logLevel } }));
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
    const rpcId = JSON.stringify(requestId);
    if (/^["\d-]/.test(rpcId)) this.#options.tell({ session: this.#id, rpcId });
  }

  async watch(route: Route, { method, params }: Request, sink: Sink): Promise<Members> {
    const uri = params?.["uri"];
    if (typeof uri !== "string") throw new RpcError(invalidParams, `${method} needs "params.uri" as a string`);
    const target = await route.target("resources", uri);
    if (target === undefined) throw new RpcError(invalidParams, `Unknown resource: ${uri}`);
    const isSubscribe = method === "resources/subscribe";
    if (!(await this.#isModern(target.server)))
      await this.withPeer(target.server, sink, (peer) => peer.request({ method, params: { uri: target.own } }, sink));
    await this.#kept.update((state) => {
      const { [target.own]: _old, ...others } = state.subscriptions[target.server] ?? {};
      const mine = isSubscribe ? { ...others, [target.own]: uri } : others;
      return { ...state, subscriptions: { ...state.subscriptions, [target.server]: mine } };
    });
    this.#options.tell({ session: this.#id, subscribes: true });
    return {};
  }

  /** Hands over what all upstreams say of their own accord, until the signal. */
  async listen(route: Route, sink: Sink): Promise<void> {
    const { tenant } = this.#head;
    const heard = route.servers.map((server) => ({
      server,
      ...this.#options.changes.listen({ tenant, server }, sink),
    }));
    await Promise.allSettled(heard.map(({ server, told }) => this.#listenTo(server, told)));
    await aborted(sink.signal);
    for (const { off } of heard) off();
  }

  /** Whether nobody can use it any more. */
  isOver(): Promise<boolean> {
    return this.#kept.isOver();
  }

  /** Keeps a connection for the calls of this session; where the agent has too many it is closed. */
  async hold(server: string, connection: OldSsePeer): Promise<void> {
    const held = await this.#all.connections.adopt(this.#wish(server), connection).catch(() => undefined);
    held?.release();
  }

  /** Ends what the session holds at upstreams that its tenant will not have any more. The requests are on their way at once. */
  leave(stays: Stays): void {
    const { upstreams, peers } = this.#options;
    const { tenant } = this.#head;
    for (const [server, inner] of Object.entries(this.state.inner)) {
      if (upstreams.find(tenant, server) === undefined) continue;
      const line = this.#line(server);
      if (!stays(tenant, server, line.upstream.endpoint.url)) void peers.resume(line, sessionOf(inner)).close();
    }
  }

  /** Ends what the session holds at the upstreams. */
  async close(): Promise<void> {
    await this.#all.connections.dropAll(this.#name);
    const { peers } = this.#options;
    const end = async ([server, inner]: [string, InnerSession]) =>
      await peers.resume(this.#line(server), sessionOf(inner)).close();
    await Promise.allSettled(Object.entries(this.state.inner).map(end));
  }

  async #listenTo(server: string, sink: Sink): Promise<void> {
    const named: Sink = {
      ...sink,
      notify: ({ method, params }) => {
        const uri = this.state.subscriptions[server]?.[textOf(params?.["uri"])];
        sink.notify({ method, ...(params && { params: uri === undefined ? params : { ...params, uri } }) });
      },
    };
    if (!(await this.#isModern(server))) {
      const off = this.#onSubscriptions(() => {});
      return await this.withPeer(server, named, (peer) => peer.listen({}, named)).finally(off);
    }
    const { session: peer } = await this.#take(server, named);
    while (!sink.signal.aborted) {
      const again = new AbortController();
      const known = this.state;
      const off = this.#onSubscriptions(() => this.state !== known && again.abort());
      const signal = AbortSignal.any([sink.signal, again.signal]);
      const resourceSubscriptions = Object.keys(this.state.subscriptions[server] ?? {});
      await peer
        .listen({ ...allChanges, resourceSubscriptions }, { ...named, signal })
        .catch((error: unknown) => {
          if (!again.signal.aborted) throw error;
        })
        .finally(off);
      if (!again.signal.aborted) return;
    }
  }

  /** Calls back whenever the client may want to hear of other resources than before, until told to stop. */
  #onSubscriptions(heed: () => void): () => void {
    const look = () => void this.#kept.refresh().then(heed, () => {});
    look();
    return this.#all.onSubscriptions(this.#id, look);
  }

  async #eachLegacy(route: Route, work: (peer: Peer, sink: Sink) => Promise<unknown>): Promise<void> {
    const sink = deafSink(AbortSignal.timeout(tellMs));
    await Promise.allSettled(
      route.servers.map(async (server) => {
        if (!(await this.#isModern(server))) await this.withPeer(server, sink, (peer) => work(peer, sink));
      }),
    );
  }

  async #isModern(server: string): Promise<boolean> {
    return (await this.#options.peers.eras.of(this.#line(server))) === "modern";
  }

  async #take(server: string, sink: Sink): Promise<Taken<Peer>> {
    const { peers, schemasOf } = this.#options;
    const connection = await this.#all.connections.find(this.#wish(server));
    if (connection !== undefined) return connection;
    const inner = this.state.inner[server];
    if (inner !== undefined) return this.#resume(server, inner, sink);
    if (!(await this.#isModern(server))) return await this.#reopen(server, sink, undefined);
    const line = this.#line(server);
    const client = modernClient(this.state.client);
    return lent(peers.modern({ line, client, schemas: schemasOf(this.#head, server), modernAgent: false }));
  }

  #resume(server: string, inner: InnerSession, sink: Sink): Taken<Peer> {
    const line = this.#line(server);
    const peer = this.#options.peers.resume(line, sessionOf(inner));
    peer.attach(line, sink);
    return lent(peer);
  }

  /** However many calls find that there is no session any more, one opens the next. */
  async #reopen(server: string, sink: Sink, gone: InnerSession | undefined): Promise<Taken<Peer>> {
    await unlessAborted(
      this.#all.turns.once(`open ${this.#name} ${server}`, () => this.#open(server, gone)),
      sink.signal,
    );
    const connection = await this.#all.connections.find(this.#wish(server));
    if (connection !== undefined) return connection;
    await this.#kept.refresh();
    const inner = this.state.inner[server];
    if (inner === undefined) throw new Fault("overloaded", `the session with the server '${server}' had to make room`);
    return this.#resume(server, inner, sink);
  }

  async #open(server: string, gone: InnerSession | undefined): Promise<void> {
    await this.#kept.refresh();
    const isReplaced = ({ inner }: SessionState) =>
      inner[server] !== undefined && (gone === undefined || inner[server].id !== gone.id);
    if (isReplaced(this.state)) return;
    const line = this.#line(server);
    const signal = AbortSignal.timeout(openMs);
    const peer = await this.#options.peers.open({ line, client: this.state.client, signal });
    if (peer instanceof OldSsePeer) (await this.#all.connections.adopt(this.#wish(server), peer)).release();
    else if (!(await this.#keep(server, peer, isReplaced))) return;
    this.#all.watch(this.#name, this);
    await this.#renew(server, peer);
  }

  /** Resolves to false where another replica was faster. */
  async #keep(server: string, peer: LegacyPeer, isReplaced: (state: SessionState) => boolean): Promise<boolean> {
    try {
      const mine = innerOf(server, peer.session);
      await this.#kept.update((state) =>
        isReplaced(state) ? state : { ...state, inner: { ...state.inner, [server]: mine } },
      );
      if (this.state.inner[server]?.id === mine.id) return true;
    } catch (error) {
      await peer.close();
      throw error;
    }
    await peer.close();
    return false;
  }

  /** A new session with an upstream knows nothing of what the client had asked for; its log level went with its name. */
  async #renew(server: string, peer: Peer): Promise<void> {
    const sink = deafSink(AbortSignal.timeout(tellMs));
    for (const uri of Object.keys(this.state.subscriptions[server] ?? {}))
      await peer.request({ method: "resources/subscribe", params: { uri } }, sink).catch(() => {});
  }

  #wish(server: string): Wish {
    const { tenant, agent } = this.#head;
    const { url } = this.#line(server).upstream.endpoint;
    return { place: [tenant, agent.id, server, url].join("\0"), key: this.#name };
  }

  #told(server: string, sink: Sink): Sink {
    return this.#options.changes.through({ tenant: this.#head.tenant, server }, sink);
  }

  #line(server: string): Line {
    return this.#options.lineOf(this.#head, server);
  }
}

/** A peer that only this call uses, and that needs not be given back. */
function lent(session: Peer): Taken<Peer> {
  return { session, release: () => {}, discard: () => {} };
}

async function using<T>({ session, release }: Taken<Peer>, work: (peer: Peer) => Promise<T>): Promise<T> {
  try {
    return await work(session);
  } finally {
    release();
  }
}
