import { createHash } from "node:crypto";
import { Eras } from "./eras.ts";
import { LegacyPeer, SessionExpired, type LegacySession } from "./legacy-peer.ts";
import { ModernPeer } from "./modern-peer.ts";
import { OldSsePeer } from "./old-sse-peer.ts";
import type { ToolSchemas } from "./param-headers.ts";
import type { Client, Ids, Peer, Sink } from "./peer.ts";
import type { Request } from "./rpc.ts";
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

type Stateful = LegacyPeer | OldSsePeer;

interface Idle {
  readonly peer: Stateful;
  readonly timer: NodeJS.Timeout;
}

interface Shared {
  readonly opening: Promise<Stateful>;
  users: number;
  timer: NodeJS.Timeout | undefined;
}

const openMs = 30_000;
const idleMs = 60_000;
const mostIdle = 8;
/** An answer to `initialize` that means: this may be the old transport. */
const maybeOld = new Set([400, 404, 405]);

/**
 * Sessions with legacy upstreams for agents that have none themselves, per tenant, agent, upstream and what the client
 * can be asked; each serves one call at a time, so that what the upstream asks belongs to that call for certain.
 */
export class Peers implements AsyncDisposable {
  readonly eras = new Eras();
  readonly #ids: Ids;
  readonly #idle = new Map<string, Idle[]>();
  readonly #inUse = new Set<Stateful>();
  readonly #shared = new Map<string, Shared>();
  readonly #stop = new AbortController();

  readonly #onNotice: OnNotice;

  constructor(ids: Ids, onNotice: OnNotice) {
    this.#ids = ids;
    this.#onNotice = onNotice;
  }

  /** A peer for one call of an agent without a session. */
  async borrow(asking: Asking, sink: Sink): Promise<Lease> {
    if ((await this.eras.of(asking.line)) === "modern")
      return { peer: this.modern(asking), release: nothing, discard: nothing };
    const key = keyOf(asking);
    if (!isInteractive(asking.client)) return await this.#share(key, asking);
    const peer = this.#takeIdle(key) ?? (await this.#openListening(asking));
    peer.attach(asking.line, sink);
    this.#inUse.add(peer);
    return {
      peer,
      release: () => this.#giveBack(key, peer),
      discard: () => this.#inUse.delete(peer),
    };
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
    const idle = [...this.#idle.values()].flat();
    this.#idle.clear();
    for (const { timer } of idle) clearTimeout(timer);
    const shared = await Promise.allSettled([...this.#shared.values()].map(({ opening }) => opening));
    const open = shared.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const all = [...idle.map(({ peer }) => peer), ...this.#inUse, ...open];
    await Promise.all(all.map((peer) => peer.close()));
  }

  async #openListening(asking: Asking): Promise<Stateful> {
    const peer = await this.open(asking);
    const { line } = asking;
    if (peer instanceof LegacyPeer) peer.listenForAttached(this.#stop.signal, (notice) => this.#onNotice(line, notice));
    return peer;
  }

  /** A session on which nobody can be asked anything serves any number of calls at once. */
  async #share(key: string, asking: Asking): Promise<Lease> {
    const known = this.#shared.get(key);
    const shared: Shared = known ?? {
      opening: this.#openListening(withoutDeadline(asking)),
      users: 0,
      timer: undefined,
    };
    this.#shared.set(key, shared);
    const forget = () => {
      if (this.#shared.get(key) === shared) this.#shared.delete(key);
    };
    shared.users++;
    clearTimeout(shared.timer);
    const peer = await shared.opening.catch((error: unknown) => {
      forget();
      throw error;
    });
    if (peer instanceof OldSsePeer && peer.isOver) {
      forget();
      return await this.#share(key, asking);
    }
    peer.attach(asking.line, undefined);
    const release = () => {
      shared.users--;
      if (shared.users > 0) return;
      shared.timer = setTimeout(() => {
        forget();
        void peer.close();
      }, idleMs).unref();
    };
    return { peer, release, discard: forget };
  }

  #takeIdle(key: string): Stateful | undefined {
    const idle = this.#idle.get(key)?.pop();
    clearTimeout(idle?.timer);
    return idle?.peer instanceof OldSsePeer && idle.peer.isOver ? this.#takeIdle(key) : idle?.peer;
  }

  #giveBack(key: string, peer: Stateful): void {
    if (!this.#inUse.delete(peer)) return;
    peer.detach();
    const idle = this.#idle.get(key) ?? [];
    if (this.#stop.signal.aborted || idle.length >= mostIdle) return void peer.close();
    const timer = setTimeout(() => this.#retire(key, peer), idleMs).unref();
    idle.push({ peer, timer });
    this.#idle.set(key, idle);
  }

  #retire(key: string, peer: Stateful): void {
    const left = (this.#idle.get(key) ?? []).filter((idle) => idle.peer !== peer);
    if (left.length === 0) this.#idle.delete(key);
    else this.#idle.set(key, left);
    void peer.close();
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

function keyOf({ line, client }: Asking): string {
  const { tenant, agent } = line.head;
  const { name, url } = line.upstream.endpoint;
  const said = createHash("sha256")
    .update(JSON.stringify([client, forwarded(line)]))
    .digest("base64url");
  return [tenant, agent.id, name, url, said].join("\0");
}
