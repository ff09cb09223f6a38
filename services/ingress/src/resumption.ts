import { storedFrame, type Bus } from "@sluice/bus";
import { decodeJson, Fault, type StreamEnd, type StreamHead } from "@sluice/contracts";
import type { Answer } from "./answer.ts";
import { lostFault, orphanEvent, startEventStream } from "./conversation.ts";
import type { EventId } from "./event-id.ts";
import { SseRelay } from "./sse-relay.ts";
import type { Dependent, Streams } from "./streams.ts";
import type { Principal } from "./tenants.ts";

export interface ResumptionOptions {
  readonly bus: Bus;
  readonly streams: Streams;
  readonly response: Answer;
  readonly from: EventId;
  readonly principal: Principal;
  readonly server: string;
  /** The name of the legacy session. */
  readonly session: string | undefined;
}

/** How a resumed stream ended: over, or to be continued at the upstream by a new GET. */
export type Continuation = "over" | { readonly resumeFrom: string | undefined };

/**
 * Continues a stream after the event that the client has, on any replica. The stream must be the principal's own, of
 * the same server and session; anybody else's answers like an unknown one.
 * @throws Fault `not_found`.
 */
export async function resume(options: ResumptionOptions): Promise<{ continuation: Continuation; bytes: number }> {
  const { bus, from } = options;
  const first = await storedFrame(bus, from.stream, 1);
  const head = first?.frame.head === true ? decodeJson<StreamHead>(first.frame.bytes) : undefined;
  if (head === undefined || !owns(options, head)) {
    throw new Fault(
      "not_found",
      "there is no such stream, or it is no longer kept: open a new one without Last-Event-ID",
    );
  }
  return await new Resumption(options, head).run();
}

function owns({ principal, server, session }: ResumptionOptions, head: StreamHead): boolean {
  return (
    head.tenant === principal.tenant &&
    head.agent === principal.agent.id &&
    head.server === server &&
    head.session === session
  );
}

class Resumption implements Dependent {
  readonly egress: string;
  readonly #options: ResumptionOptions;
  readonly #head: StreamHead;
  readonly #relay: SseRelay;
  readonly #done = Promise.withResolvers<Continuation>();

  constructor(options: ResumptionOptions, head: StreamHead) {
    this.#options = options;
    this.#head = head;
    this.egress = head.egress;
    this.#relay = new SseRelay({
      bus: options.bus,
      response: options.response,
      stream: options.from.stream,
      after: options.from.event,
      resumed: true,
      onEnd: (end) => this.#ended(end),
      onLost: () => {
        options.response.destroy();
        this.#done.resolve("over");
      },
    });
  }

  async run(): Promise<{ continuation: Continuation; bytes: number }> {
    const { bus, streams, response, from } = this.#options;
    if (response.destroyed) throw new Fault("client_left", "the client left");
    const onClose = () => {
      streams.tellOwner("detach", { stream: from.stream });
      this.#done.resolve("over");
    };
    response.once("close", onClose);
    streams.add(this.#relay);
    streams.depend(this);
    try {
      streams.tellOwner("attach", { stream: from.stream, reader: bus.instance });
      startEventStream(response, this.#head);
      await this.#relay.replay();
      return { continuation: await this.#done.promise, bytes: this.#relay.bytes };
    } finally {
      response.off("close", onClose);
      this.#relay.close();
      streams.remove(this.#relay);
      streams.release(this);
    }
  }

  egressDied(): void {
    void this.#relay.replay().then(() => {
      const { rpcId } = this.#head;
      if (rpcId !== undefined) this.#relay.endWith(orphanEvent(rpcId, lostFault()));
      this.#done.resolve("over");
    });
  }

  #ended(end: StreamEnd): void {
    const goesOn = this.#head.listening || !end.answered;
    this.#done.resolve(goesOn ? { resumeFrom: end.resumeFrom } : "over");
  }
}
