import { Fault, sessionNameOf, type CallHead } from "@sluice/contracts";
import { modernClient } from "./client.ts";
import { SessionExpired } from "./legacy-peer.ts";
import type { LegacySessions, LegacySessionsOptions } from "./legacy-sessions.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import { deafSink, type Peer, type Sink, type Wanted } from "./peer.ts";
import type { Route } from "./route.ts";
import { invalidParams, RpcError, type Members, type Request } from "./rpc.ts";
import { writeState, type SessionState } from "./session-state.ts";
import type { Line } from "./wire.ts";

/** How long an upstream may take for a word to all of a session's upstreams. */
const tellMs = 10_000;
const allChanges: Wanted = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

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
