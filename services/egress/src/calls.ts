import type { Bus } from "@sluice/bus";
import { encodeHeadAndBody, Fault, type CallHead, type OwnWord, type ReplyHead } from "@sluice/contracts";
import { isSameId } from "./answer-check.ts";
import { nobodyCameBack, type ActiveCall, type Ending } from "./active-call.ts";
import type { CallMetrics } from "./call-metrics.ts";

const sweepEveryMs = 500;
const announceAfterMs = 1_000;
/** How long a stream of the server's own messages outlives its reader, so that it can come back. */
const readerGraceMs = 15_000;

export interface CallsOptions {
  readonly bus: Bus;
  readonly metrics: CallMetrics;
  readonly maxInFlight: number;
  readonly maxCallsPerAgent: number;
  readonly maxStreamsPerAgent: number;
  /** How long an answer goes on that nobody reads, in milliseconds. */
  readonly unreadTimeoutMs: number;
  /** The endpoint's deadline for a call, in milliseconds. */
  readonly responseTimeoutMs: (head: CallHead) => number;
  /** How long a stream of the server's own messages may be silent; undefined where for ever. */
  readonly idleTimeoutMs: (head: CallHead) => number | undefined;
}

/** The calls under way in this replica, and the one clock that watches them all. */
export class Calls implements Disposable {
  readonly #options: CallsOptions;
  readonly #active = new Set<ActiveCall>();
  /** By agent, calls and streams apart. */
  readonly #counts = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #idle: (() => void) | undefined;

  constructor(options: CallsOptions) {
    this.#options = options;
    options.metrics.measure(() => this.#active.size);
    this.#timer = setInterval(() => this.#sweep(Date.now()), sweepEveryMs);
    options.bus.onReconnect(() => this.#announceAnew());
  }

  get size(): number {
    return this.#active.size;
  }

  /** @throws Fault `overloaded` where this replica, or the agent, has as many calls under way as it may. */
  add(call: ActiveCall): void {
    const { maxInFlight, maxCallsPerAgent, maxStreamsPerAgent } = this.#options;
    if (this.#active.size >= maxInFlight) throw new Fault("overloaded", "too many calls are under way");
    const count = this.#counts.get(call.countedAs) ?? 0;
    if (count >= (call.listening ? maxStreamsPerAgent : maxCallsPerAgent)) {
      const what = call.listening ? "streams are open" : "calls are under way";
      throw new Fault("overloaded", `too many ${what} for the agent '${call.head.agent.id}'`);
    }
    this.#counts.set(call.countedAs, count + 1);
    this.#active.add(call);
  }

  remove(call: ActiveCall): void {
    if (!this.#active.delete(call)) return;
    const count = (this.#counts.get(call.countedAs) ?? 1) - 1;
    if (count === 0) this.#counts.delete(call.countedAs);
    else this.#counts.set(call.countedAs, count);
    if (this.#active.size === 0) this.#idle?.();
  }

  count(call: ActiveCall, ending: Ending): void {
    this.#options.metrics.count(call, ending);
  }

  *matching({ call, stream, session, rpcId }: OwnWord): Iterable<ActiveCall> {
    for (const active of this.#active) {
      const { head } = active;
      if (rpcId !== undefined && (head.rpcId === undefined || !isSameId(rpcId, head.rpcId))) continue;
      if (call === head.call || stream === head.stream || (session !== undefined && session === head.session?.id))
        yield active;
    }
  }

  /** The readers behind a dead ingress are gone: legacy answers go on into their stream, modern ones are cancelled. */
  readerDied(instance: string): void {
    for (const call of this.#active) {
      if (call.reader === undefined || call.readerInstance !== instance) continue;
      call.leave(call.reader);
      if (call.head.era === "modern" && !call.outlivesClient) call.end(new Fault("client_left", "the client left"));
    }
  }

  /** Ends streams of the server's own messages, which have no end of their own, and waits for everything else. */
  async finish(deadlineMs: number): Promise<void> {
    for (const call of this.#active) if (call.listening) call.end(new Fault("unavailable", "egress is stopping"));
    if (this.#active.size === 0) return;
    const idle = new Promise<void>((resolve) => (this.#idle = resolve));
    const timer = setTimeout(() => {
      for (const call of this.#active) call.end(new Fault("unavailable", "egress is stopping"));
    }, deadlineMs);
    await idle.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #sweep(now: number): void {
    for (const call of this.#active) {
      if (!call.announced && now - call.startedAt > announceAfterMs) this.#announce(call);
      const fault = this.#overdue(call, now);
      if (fault !== undefined) call.end(fault);
    }
  }

  /** Why a call has to end by the clock. */
  #overdue(call: ActiveCall, now: number): Fault | undefined {
    const { unreadTimeoutMs, idleTimeoutMs, responseTimeoutMs } = this.#options;
    const idleMs = now - call.lastActivity;
    const unreadMs = call.reader === undefined ? now - call.readerLeftAt : 0;
    if (call.waitingSince !== undefined)
      return now - call.waitingSince > unreadTimeoutMs ? nobodyCameBack() : undefined;
    if (call.streaming && call.head.a2a === undefined) {
      if (!call.listening && unreadMs > unreadTimeoutMs) return nobodyCameBack();
      if (call.listening) {
        if (unreadMs > readerGraceMs) return new Fault("client_left", "the client left");
        return idleMs > (idleTimeoutMs(call.head) ?? Infinity) ? silent(idleMs) : undefined;
      }
    }
    return idleMs > (call.patienceMs ?? responseTimeoutMs(call.head)) ? silent(idleMs) : undefined;
  }

  /** Callers that lost the bus for a while cannot know whether their calls are still in somebody's hands. */
  #announceAnew(): void {
    for (const call of this.#active) if (!call.answered) call.announced = false;
  }

  #announce(call: ActiveCall): void {
    call.announced = true;
    const { bus } = this.#options;
    const taken: ReplyHead = { egress: bus.instance, kind: "taken", status: 0, headers: {} };
    if (bus.connected) bus.tell(call.replyTo, encodeHeadAndBody(taken, Buffer.alloc(0)));
  }
}

function silent(idleMs: number): Fault {
  return new Fault("upstream_timeout", `the upstream sent nothing for ${Math.round(idleMs / 1000)} s`);
}
