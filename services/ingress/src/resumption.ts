import { storedFrame, type Bus } from "@sluice/bus";
import {
  decodeJson,
  Fault,
  faultEvent,
  sessionNameOf,
  type Intent,
  type StreamEnd,
  type StreamHead,
} from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import { lostFault } from "./conversation-ends.ts";
import { parseEventId, type EventId } from "./event-id.ts";
import { SseRelay } from "./sse-relay.ts";
import type { QuotaHeaders } from "./quota-headers.ts";
import type { Dependent, Streams } from "./streams.ts";
import type { Principal } from "./tenants.ts";
import { whoOf } from "./who.ts";
import { startEventStream } from "./writing.ts";

/** Who asks for the rest of a stream, by which server and in which session. */
export interface Asking {
  readonly principal: Principal;
  readonly server: string;
  /** The id of the legacy session. */
  readonly session: string | undefined;
}

/** A stream that is kept, and the event after which somebody who may read it goes on. */
export interface KeptStream {
  readonly from: EventId;
  readonly head: StreamHead;
  /** The session's id as the client names it. */
  readonly session: string | undefined;
  /** What is asked again before anybody reads on. */
  readonly called: NonNullable<Intent["resumes"]>;
}

/**
 * Finds the stream that an event belongs to. It must be the principal's own, of the same server and session; anybody
 * else's is like an unknown one: undefined.
 */
export async function findKept(bus: Bus, lastEventId: string, asking: Asking): Promise<KeptStream | undefined> {
  const from = parseEventId(lastEventId);
  if (from === undefined) return undefined;
  const first = await storedFrame(bus, { tenant: asking.principal.tenant, stream: from.stream }, 1);
  const head = first?.frame.head === true ? decodeJson<StreamHead>(first.frame.bytes) : undefined;
  if (head === undefined || !owns(asking, head)) return undefined;
  const { method, target, targetKind } = head;
  const called = { method, ...(target !== undefined && { target }), ...(targetKind !== undefined && { targetKind }) };
  return { from, head, session: asking.session, called };
}

function owns({ principal, server, session }: Asking, head: StreamHead): boolean {
  return (
    head.tenant === principal.tenant &&
    head.identity === whoOf(principal).identity &&
    head.server === server &&
    head.session === (session === undefined ? undefined : sessionNameOf(session))
  );
}

export function noSuchStream(): Fault {
  return new Fault(
    "not_found",
    "there is no such stream, or it is no longer kept: open a new one without Last-Event-ID",
  );
}

export interface ResumptionOptions {
  readonly bus: Bus;
  readonly streams: Streams;
  readonly response: Answer;
  readonly kept: KeptStream;
  /** Names this reader, as `OwnWord` says. */
  readonly reader: string;
  /** Beside those of the stream. */
  readonly extraHeaders: QuotaHeaders | undefined;
}

/** How a resumed stream ended: over, or to be continued at the upstream by a new GET. */
export type Continuation = "over" | { readonly resumeFrom: string | undefined };

/** Continues a stream after the event that the client has, on any replica. Whoever read it before is hung up on. */
export async function resume(options: ResumptionOptions): Promise<{ continuation: Continuation; bytes: number }> {
  return await new Resumption(options).run();
}

class Resumption implements Dependent {
  readonly egress: string;
  readonly #options: ResumptionOptions;
  readonly #relay: SseRelay;
  readonly #done = Promise.withResolvers<Continuation>();

  constructor(options: ResumptionOptions) {
    this.#options = options;
    const { bus, response, kept, streams } = options;
    this.egress = kept.head.egress;
    this.#relay = new SseRelay({
      bus,
      response,
      tenant: kept.head.tenant,
      stream: kept.from.stream,
      reader: options.reader,
      after: kept.from.event,
      resumed: true,
      onEnd: (end) => this.#ended(end),
      onLost: () => {
        response.destroy();
        this.#done.resolve("over");
      },
      onReplaced: () => this.#done.resolve("over"),
      onRead: (readUpTo) => streams.tellOwner("progress", { ...this.#reading, readUpTo }),
    });
  }

  get #reading(): { stream: string; reader: string } {
    return { stream: this.#relay.stream, reader: this.#options.reader };
  }

  async run(): Promise<{ continuation: Continuation; bytes: number }> {
    const { bus, streams, response, kept, extraHeaders } = this.#options;
    if (response.destroyed) throw new Fault("client_left", "the client left");
    const onClose = () => {
      streams.tellOwner("detach", this.#reading);
      this.#done.resolve("over");
    };
    response.once("close", onClose);
    const attach = () => streams.tellOwner("attach", this.#reading);
    const off = bus.onReconnect(attach);
    streams.add(this.#relay);
    streams.depend(this);
    try {
      attach();
      startEventStream(response, { ...kept.head, extraHeaders }, kept.head.namesSession ? kept.session : undefined);
      await this.#relay.replay();
      return { continuation: await this.#done.promise, bytes: this.#relay.bytes };
    } finally {
      off();
      response.off("close", onClose);
      this.#relay.close();
      streams.remove(this.#relay);
      streams.release(this);
    }
  }

  egressDied(): void {
    void this.#relay.replay().then(() => {
      const { rpcId } = this.#options.kept.head;
      if (rpcId !== undefined) this.#relay.endWith(`${faultEvent(rpcId, lostFault())}\n`);
      this.#done.resolve("over");
    });
  }

  #ended(end: StreamEnd): void {
    const goesOn = this.#options.kept.head.listening || !end.answered;
    this.#done.resolve(goesOn ? { resumeFrom: end.resumeFrom } : "over");
  }
}
