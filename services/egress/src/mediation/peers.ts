import { createHash } from "node:crypto";
import { Eras } from "./eras.ts";
import { LegacyPeer, SessionExpired, type LegacySession } from "./legacy-peer.ts";
import { ModernPeer } from "./modern-peer.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import type { ToolSchemas } from "./param-headers.ts";
import type { Client, Ids, Peer, Sink } from "./peer.ts";
import type { Request } from "./rpc.ts";
import { SessionPool, type Wish } from "./session-pool.ts";
import { forwarded, HttpRefusal, type Line } from "./wire.ts";

/** A peer in use; what was borrowed is given back, or thrown away where it is of no more use. */
interface Lease {
  readonly peer: Peer;
  release(): void;
  discard(): void;
}

const nothing = () => {};

export interface Asking {
  readonly line: Line;
  readonly client: Client;
  readonly schemas: ToolSchemas;
  /** The agent speaks the modern era. */
  readonly modernAgent: boolean;
  readonly signal: AbortSignal;
}

/** Told what an upstream says of its own accord on a session that nobody uses at the moment. */
type OnNotice = (line: Line, notice: Request) => void;

export type Stateful = LegacyPeer | OldSsePeer;

const openMs = 30_000;
const idleMs = 60_000;
const mostIdle = 8;
/** An answer to `initialize` that means: this may be the old transport. */
const maybeOld = new Set([400, 404, 405]);

/**
 * Sessions with legacy upstreams for agents that have none themselves, per tenant, caller, upstream and what the client
 * says of itself. One on which the client can be asked serves one call at a time, so that what the upstream asks belongs to
 * that call for certain.
 */
export class Peers implements AsyncDisposable {
  readonly eras = new Eras();
  readonly #ids: Ids;
  readonly #pool: SessionPool<Stateful>;
  readonly #stop = new AbortController();
  readonly #onNotice: OnNotice;

  /** @param most sessions of one agent with one upstream */
  constructor(ids: Ids, { most, onNotice }: { most: number; onNotice: OnNotice }) {
    this.#ids = ids;
    this.#onNotice = onNotice;
    this.#pool = new SessionPool({ most, mostIdle, idleMs });
  }

  /** A peer for one call of an agent without a session. @throws Fault `overloaded` where it has too many under way. */
  async borrow(asking: Asking, sink: Sink): Promise<Lease> {
    if ((await this.eras.of(asking.line)) === "modern")
      return { peer: this.modern(asking), release: nothing, discard: nothing };
    const isShared = !isInteractive(asking.client);
    const open = () => this.#openListening(isShared ? withoutDeadline(asking) : asking);
    const { session: peer, release, discard } = await this.#pool.take(wishOf(asking), { open, isShared });
    peer.attach(asking.line, isShared ? undefined : sink);
    if (isShared) return { peer, release, discard };
    const giveBack = () => {
      peer.detach();
      release();
    };
    return { peer, release: giveBack, discard };
  }

  modern({ line, client, schemas, modernAgent }: Omit<Asking, "signal">): ModernPeer {
    return new ModernPeer({ line, client, ids: this.#ids, schemas, relaysInput: modernAgent });
  }

  /** Goes on with the session that a legacy agent has with this upstream. */
  resume(line: Line, session: LegacySession): LegacyPeer {
    return new LegacyPeer({ line, ids: this.#ids }, session);
  }

  /** Opens a session with an upstream that does not speak the modern era. */
  async open({ line, client, signal }: Pick<Asking, "line" | "client" | "signal">): Promise<Stateful> {
    const ids = this.#ids;
    if ((await this.eras.of(line)) !== "sse") {
      try {
        return await LegacyPeer.open({ line, ids }, client, signal);
      } catch (error) {
        if (!(error instanceof HttpRefusal) || !maybeOld.has(error.status)) throw error;
      }
    }
    const peer = await OldSsePeer.open({ line, ids }, client, signal);
    this.eras.learn(line, "sse");
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#pool[Symbol.asyncDispose]();
  }

  async #openListening(asking: Asking): Promise<Stateful> {
    const peer = await this.open(asking);
    const { line } = asking;
    if (peer instanceof LegacyPeer) peer.listenForAttached(this.#stop.signal, (notice) => this.#onNotice(line, notice));
    return peer;
  }
}

/**
 * Runs one piece of work with a borrowed peer. A session that the upstream has forgotten is replaced once: it refused the
 * request, so nothing is done twice.
 */
export async function withPeer<T>(
  peers: Peers,
  asking: Asking,
  { sink, work }: { sink: Sink; work: (peer: Peer) => Promise<T> },
): Promise<T> {
  for (let isRetry = false; ; isRetry = true) {
    const lease = await peers.borrow(asking, sink);
    try {
      const result = await work(lease.peer);
      lease.release();
      return result;
    } catch (error) {
      const expired = error instanceof SessionExpired;
      if (expired) lease.discard();
      else lease.release();
      if (!expired || isRetry) throw error;
    }
  }
}

/** Whether an upstream may ask the client anything. */
function isInteractive({ capabilities }: Client): boolean {
  return ["elicitation", "sampling", "roots"].some((capability) => capabilities[capability] !== undefined);
}

/** One caller that leaves does not end what others wait for. */
function withoutDeadline(asking: Asking): Asking {
  return { ...asking, signal: AbortSignal.timeout(openMs) };
}

function wishOf({ line, client }: Asking): Wish {
  const { tenant, agent, identity } = line.head;
  const { name, url } = line.upstream.endpoint;
  const said = JSON.stringify([identity, client, forwarded(line)]);
  return {
    place: [tenant, agent.id, name, url].join("\0"),
    key: createHash("sha256").update(said).digest("base64url"),
  };
}
