import { Fault, sessionNameOf, type CallHead, type EndedSession } from "@sluice/contracts";
import type { Principals } from "../principals.ts";
import type { Stays } from "../connected-endpoints.ts";
import type { Upstreams } from "../upstreams.ts";
import type { Changes } from "./changes.ts";
import { modernClient } from "./client.ts";
import { LegacyPeer } from "./legacy-peer.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import type { About, Client, Peer } from "./peer.ts";
import type { Peers } from "./peers.ts";
import type { Route, ServerStatus } from "./route.ts";
import { SessionHandle } from "./session-handle.ts";
import { SessionPool } from "./session-pool.ts";
import { fits, innerOf, writeState, type InnerSession, type SessionState } from "./session-state.ts";
import { Turns } from "./turns.ts";
import { Upkeep } from "./upkeep.ts";
import type { Line } from "./wire.ts";
import type { ToolSchemas } from "./param-headers.ts";

export interface SessionLimits {
  /** How long an unused session lives. */
  readonly ttlMs: number;
  /** With one upstream: of those that egress opens for an agent without one, and of connections of the old transport. */
  readonly mostPerAgent: number;
}

export interface LegacySessionsOptions {
  readonly peers: Peers;
  readonly principals: Principals;
  readonly instance: string;
  readonly lineOf: (head: CallHead, server: string) => Line;
  readonly upstreams: Upstreams;
  readonly schemasOf: (head: CallHead, server: string) => ToolSchemas;
  readonly changes: Changes;
  /** Says to all replicas that a session's calls or streams have to heed something. */
  readonly tell: (word: { session: string; rpcId?: string; subscribes?: true }) => void;
  readonly limits: SessionLimits;
}

/** Who wants a session. */
interface Opening {
  readonly head: CallHead;
  readonly route: Route;
  readonly client: Client;
  readonly version: string;
  readonly signal: AbortSignal;
}

interface Introduced {
  readonly peer: Peer;
  readonly about: About;
  readonly inner: InnerSession | undefined;
}

interface Answer {
  readonly server: string;
  readonly answer: Introduced;
}

const openMs = 30_000;

/** Sessions of legacy agents that the gateway itself holds, because no single upstream of their own era does. */
export class LegacySessions implements AsyncDisposable {
  /** Connections of the old transport, by the session's name: they live in this replica alone. */
  readonly connections: SessionPool<OldSsePeer>;
  readonly turns = new Turns();
  readonly #options: LegacySessionsOptions;
  readonly #upkeep: Upkeep<SessionHandle>;
  /** A call has one view of its session, whoever asks for it. */
  readonly #handles = new WeakMap<CallHead, SessionHandle>();
  /** Streams of this replica that have to hear of new subscriptions, by session. */
  readonly #listening = new Map<string, Set<() => void>>();

  constructor(options: LegacySessionsOptions) {
    const { ttlMs, mostPerAgent } = options.limits;
    this.#options = options;
    this.connections = new SessionPool({ most: mostPerAgent, mostIdle: mostPerAgent, idleMs: ttlMs });
    this.#upkeep = new Upkeep({
      ttlMs,
      isOver: (handle) => handle.isOver(),
      tidy: (handle) => handle.close(),
    });
    options.upstreams.beforeChange((stays) => this.#leave(stays));
  }

  /** Opens a session with every upstream that answers. @throws Fault where none does. */
  async open(opening: Opening) {
    const { head, client, version } = opening;
    const empty: SessionState = { client, version, inner: {}, subscriptions: {} };
    writeState(empty);
    const { answers, statuses } = await this.#introduceAll(opening);
    const kept: Answer[] = [];
    let state = empty;
    for (const one of answers) {
      const { inner } = one.answer;
      const more = inner === undefined ? state : { ...state, inner: { ...state.inner, [one.server]: inner } };
      if (fits(more)) kept.push(one);
      else {
        statuses[one.server] = "unavailable";
        void one.answer.peer.close();
        continue;
      }
      state = more;
    }
    const id = await this.#register(head, { state, kept }).catch(async (error: unknown) => {
      await Promise.all(kept.map(({ answer }) => answer.peer.close()));
      throw error;
    });
    return { opened: kept.map(({ server, answer }) => ({ server, about: answer.about })), statuses, id };
  }

  /** The session that a call names. */
  handle(head: CallHead): SessionHandle | undefined {
    if (head.session === undefined) return undefined;
    const known = this.#handles.get(head);
    if (known !== undefined) return known;
    const handle = this.#handleOf(head, head.session.id, head.session.upstream);
    this.#handles.set(head, handle);
    return handle;
  }

  /** Knows best what the session holds. */
  watch(name: string, handle: SessionHandle): void {
    this.#upkeep.watch(name, handle);
  }

  async end(id: string, handle: SessionHandle): Promise<void> {
    await this.#options.principals.endSession(id);
    this.#upkeep.forget(sessionNameOf(id));
    await handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#upkeep[Symbol.dispose]();
    await this.connections[Symbol.asyncDispose]();
  }

  /** Calls back when subscriptions change, until told to stop. */
  onSubscriptions(id: string, heed: () => void): () => void {
    const all = this.#listening.get(id) ?? new Set();
    this.#listening.set(id, all.add(heed));
    return () => {
      all.delete(heed);
      if (all.size === 0) this.#listening.delete(id);
    };
  }

  subscriptionsChanged(id: string): void {
    for (const heed of this.#listening.get(id) ?? []) heed();
  }

  /** A server that answers when nobody waits for it any more is told goodbye. */
  async #introduceAll(opening: Opening): Promise<{ answers: Answer[]; statuses: Record<string, ServerStatus> }> {
    let isTooLate = false;
    try {
      return await opening.route.gather(async (server) => {
        const { peers, lineOf } = this.#options;
        const line = lineOf(opening.head, server);
        const introduced = await peers.eras.heeding(line, () => this.#introduce(server, opening));
        if (isTooLate) await introduced.peer.close();
        return introduced;
      });
    } finally {
      isTooLate = true;
    }
  }

  async #introduce(server: string, { head, client, signal }: Opening): Promise<Introduced> {
    const { peers, lineOf, schemasOf } = this.#options;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(openMs)]);
    const line = lineOf(head, server);
    const isModern = (await peers.eras.of(line)) === "modern";
    const peer = isModern
      ? peers.modern({ line, client: modernClient(client), schemas: schemasOf(head, server), modernAgent: false })
      : await peers.open({ line, client, signal: limited });
    try {
      const inner = peer instanceof LegacyPeer ? innerOf(server, peer.session) : undefined;
      return { peer, about: await peer.about(limited), inner };
    } catch (error) {
      await peer.close();
      throw error;
    }
  }

  async #register(head: CallHead, { state, kept }: { state: SessionState; kept: readonly Answer[] }): Promise<string> {
    const { principals, instance } = this.#options;
    if (kept.length === 0) throw new Fault("upstream_failed", "no server's session can be kept");
    const text = writeState(state);
    const connections = kept.flatMap(({ server, answer: { peer } }) =>
      peer instanceof OldSsePeer ? [{ server, peer }] : [],
    );
    const { session: id, ended = [] } = await principals.openSession(head, text, {
      isMediated: true,
      ...(connections.length > 0 && { owner: instance }),
    });
    const handle = this.#handleOf(head, id, text);
    for (const { server, peer } of connections) await handle.hold(server, peer);
    for (const one of ended) void this.#giveUp(head, one);
    return id;
  }

  /** The agent has a newer session instead. */
  async #giveUp(head: CallHead, { session: name, server, upstreamSession: text }: EndedSession): Promise<void> {
    this.#upkeep.forget(name);
    await new SessionHandle(this.#options, this, { head: { ...head, server }, id: "", name, text }).close();
  }

  #leave(stays: Stays): void {
    for (const handle of this.#upkeep.sessions()) handle.leave(stays);
  }

  #handleOf(head: CallHead, id: string, text: string): SessionHandle {
    const name = sessionNameOf(id);
    const handle = new SessionHandle(this.#options, this, { head, id, name, text });
    this.watch(name, handle);
    return handle;
  }
}
