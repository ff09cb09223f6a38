import { createHash } from "node:crypto";
import { sendBody, type Bus, type Incoming, type WaitFailure, type Waiting } from "@sluice/bus";
import {
  chunkBytes,
  decodeHeadAndBody,
  encodeHeadAndBody,
  Fault,
  subjects,
  takeCallMs,
  toFault,
  type CallHead,
  type ReplyHead,
  type StreamEnd,
  type StreamHead,
} from "@sluice/contracts";
import { AnswerChunks } from "./answer-chunks.ts";
import type { Answer } from "./answer.ts";
import type { Body } from "./body.ts";
import { lostFault, ownerGone, takenFrom, ToldFault, type Elsewhere, type Owner } from "./conversation-ends.ts";
import type { Manner, Rewrite, Rewritten } from "./manner.ts";
import type { QuotaHeaders } from "./quota-headers.ts";
import { SseRelay } from "./sse-relay.ts";
import type { Dependent, Streams } from "./streams.ts";
import { startEventStream } from "./writing.ts";

/** How long an egress replica may take to say that it works on a call. */
const firstWordMs = 5_000;
/** Beyond the endpoint's own deadline, which egress watches. */
const graceMs = 5_000;
const bodyIdleTimeoutMs = 30_000;

/** A call as it is, but for how and when it is handed over. */
export type HandedHead = Omit<CallHead, "notAfter" | "chunked">;

export interface ConversationOptions {
  readonly bus: Bus;
  readonly streams: Streams;
  readonly response: Answer;
  readonly head: HandedHead;
  /** Let go of as soon as egress has it. */
  readonly body: Body;
  readonly manner: Manner;
  /** The egress replica that holds what the call goes on with. */
  readonly owner: Owner | undefined;
  /** Beside those of the answer. */
  readonly extraHeaders: QuotaHeaders | undefined;
}

/** One call handed to egress, and its answer written to the client: unary, in chunks, or as a stream of events. */
export class Conversation implements Dependent {
  egress: string | undefined;
  readonly #options: ConversationOptions;
  readonly #done = Promise.withResolvers<Fault | Elsewhere | undefined>();
  /** Resolves when egress has the whole of the body. */
  readonly #handed = Promise.withResolvers<void>();
  readonly #relay: SseRelay;
  #inbox: Waiting | undefined;
  #chunks: AnswerChunks | undefined;
  #streaming = false;
  #answerBytes = 0;
  /** The session that the answer begins. */
  #session: string | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#relay = new SseRelay({
      bus: options.bus,
      response: options.response,
      tenant: options.head.tenant,
      stream: options.head.stream,
      ...(options.manner.shared === undefined && { reader: options.head.stream }),
      after: 0,
      onHead: (head) => this.#startStream(head),
      onEnd: (end) => this.#endStream(end),
      onLost: () => this.#lost(),
      onReplaced: () => this.#done.resolve(undefined),
      onRead: (readUpTo) => options.streams.tellOwner("progress", { ...this.#reading, readUpTo }),
    });
  }

  /**
   * Resolves when the answer is written; with a fault where it broke off and egress cannot tell the audit trail so, or with
   * where a shared stream goes on. @throws Fault where egress gave no answer, and nothing was written yet.
   */
  async run(): Promise<Fault | Elsewhere | undefined> {
    const { bus, streams, response } = this.#options;
    if (response.destroyed) throw new Fault("client_left", "the client left");
    const onClose = () => this.#clientLeft();
    response.once("close", onClose);
    const off = bus.onReconnect(() => this.#busCameBack());
    streams.add(this.#relay);
    try {
      this.#hand(this.#options.owner);
      return await this.#done.promise;
    } finally {
      off();
      response.off("close", onClose);
      this.#inbox?.close();
      this.#relay.close();
      streams.remove(this.#relay);
      streams.release(this);
    }
  }

  /** The number of the last piece of the stream that was written, and the bytes of it all. */
  get written(): { readonly pieces: number; readonly bytes: number } {
    return { pieces: this.#relay.written, bytes: this.#relay.bytes + this.#answerBytes };
  }

  get #reading(): { stream: string; reader: string } {
    const { stream } = this.#options.head;
    return { stream, reader: stream };
  }

  /** The replica that worked on this is dead: a client that waits for an answer is told so. */
  egressDied(): void {
    if (!this.#streaming) this.#done.reject(lostFault());
    else void this.#relay.replay().then(() => this.#endOrphan(lostFault()));
  }

  /** What was said meanwhile is lost; egress says anew that it works on the call, or it is lost too. */
  #busCameBack(): void {
    if (!this.#streaming && this.#chunks === undefined) this.#inbox?.extend(firstWordMs);
  }

  #hand(owner: Owner | undefined): void {
    const { bus, head, body } = this.#options;
    const large = body.length > chunkBytes;
    this.#inbox = bus.inbox.open({
      from: "egress",
      timeoutMs: firstWordMs,
      onMessage: (message) => this.#onMessage(message),
      onFailure: (fault, reason) => {
        const goesElsewhere = reason === "nobody" && owner?.isNeeded === false;
        if (goesElsewhere) this.#hand(undefined);
        else this.#onSilence(owner === undefined || reason !== "nobody" ? fault : ownerGone(), reason);
      },
    });
    const sent: CallHead = {
      ...head,
      notAfter: Date.now() + takeCallMs,
      ...(large && { chunked: { bytes: body.length, sha256: createHash("sha256").update(body.bytes).digest("hex") } }),
    };
    const message = encodeHeadAndBody(sent, large ? Buffer.alloc(0) : body.bytes);
    const subject =
      owner === undefined ? subjects.call(this.#options.manner.protocol) : subjects.callOf(owner.instance);
    bus.tell(subject, message, { reply: this.#inbox.subject });
    if (large) return;
    this.#handed.resolve();
    if (owner?.isNeeded !== false) body.release();
  }

  #onMessage(message: Incoming): void {
    if (this.#chunks !== undefined) {
      this.#chunks.push(message);
      return;
    }
    const { head, body } = decodeHeadAndBody<ReplyHead>(message.data);
    this.egress = head.egress;
    if (head.kind === "answer") this.#answer(head, body);
    else if (head.kind === "follow") void this.#follow(head, body);
    else if (head.kind === "session") this.#session = head.session;
    else {
      this.#options.streams.depend(this);
      this.#inbox?.extend((this.#options.manner.responseTimeoutMs ?? Infinity) + graceMs);
      if (head.kind === "ready" && head.to !== undefined) void this.#sendBody(head.to);
    }
  }

  /** Only where nobody took the call is it certain that it had no effect. Whoever has it still need not go on. */
  #onSilence(fault: Fault, reason: WaitFailure): void {
    const { head, streams } = this.#options;
    if (reason === "timeout" && !this.#streaming) streams.tellOwner("cancel", { call: head.call });
    if (this.#chunks !== undefined) this.#chunks.fail(fault);
    else if (this.#streaming) return;
    else if (this.egress !== undefined) this.#done.reject(new Fault("upstream_timeout", "no answer in time"));
    else if (reason !== "nobody") this.#done.reject(lostFault());
    else this.#done.reject(fault);
  }

  async #sendBody(to: string): Promise<void> {
    const { bus, body } = this.#options;
    await sendBody(bus, takenFrom(body), { to, idleTimeoutMs: bodyIdleTimeoutMs }).catch(() => {});
    this.#handed.resolve();
    body.release();
  }

  #answer(head: ReplyHead, body: Buffer): void {
    const { response, manner } = this.#options;
    if (head.fault !== undefined)
      return this.#done.reject(
        new ToldFault(head.fault.kind, head.fault.message, { details: head.fault.details ?? {} }),
      );
    if (response.headersSent) {
      response.end();
      return this.#done.resolve(undefined);
    }
    const rewrite = manner.rewriteOf?.(head);
    if (head.chunked === true) void (rewrite === undefined ? this.#relayChunks(head) : this.#gatherChunks(rewrite));
    else if (rewrite === undefined) this.#write({ ...head, body });
    else void this.#rewrite(rewrite, body);
  }

  #write({ status, headers, body }: Rewritten): void {
    const { response, extraHeaders } = this.#options;
    response.writeHead(status, { ...headers, ...extraHeaders, "content-length": body.length });
    response.end(body);
    this.#answerBytes = body.length;
    this.#done.resolve(undefined);
  }

  async #rewrite(rewrite: Rewrite, body: Buffer): Promise<void> {
    try {
      const rewritten = rewrite.run(body);
      this.#write(rewritten instanceof Promise ? await rewritten : rewritten);
    } catch (error) {
      this.#done.reject(toFault(error));
    }
  }

  async #follow(head: ReplyHead, body: Buffer): Promise<void> {
    try {
      const snapshot = head.chunked === true ? await this.#receive().gather(() => {}) : body;
      this.#done.resolve({ kind: "follow", head, snapshot });
    } catch (error) {
      this.#done.reject(toFault(error));
    }
  }

  /** What is to be put into other words has to be here as a whole. */
  async #gatherChunks(rewrite: Rewrite): Promise<void> {
    try {
      await this.#rewrite(rewrite, await this.#receive().gather(rewrite.book));
    } catch (error) {
      const { head, streams } = this.#options;
      streams.tellOwner("cancel", { call: head.call });
      this.#done.reject(toFault(error));
    } finally {
      rewrite.book(0);
    }
  }

  #receive(): AnswerChunks {
    this.#relay.close();
    return (this.#chunks = new AnswerChunks(this.#options.bus, () => this.#inbox?.extend(bodyIdleTimeoutMs)));
  }

  async #relayChunks(head: ReplyHead): Promise<void> {
    const { response, extraHeaders } = this.#options;
    response.writeHead(head.status, { ...head.headers, ...extraHeaders });
    await this.#receive().writeTo(response);
    this.#done.resolve(undefined);
  }

  #startStream(head: StreamHead): void {
    const { response, streams, extraHeaders } = this.#options;
    this.#streaming = true;
    this.#inbox?.close();
    this.egress = head.egress;
    streams.depend(this);
    const session = this.#session ?? this.#options.head.session?.id;
    if (head.namesSession && session === undefined) {
      this.#relay.close();
      this.#done.reject(lostFault());
      return;
    }
    this.#options.manner.shared?.onHead(head);
    startEventStream(response, { ...head, extraHeaders }, head.namesSession ? session : undefined);
  }

  #endStream({ isMoved }: StreamEnd): void {
    if (isMoved !== true) this.#options.response.end();
    this.#done.resolve(isMoved === true ? { kind: "moved" } : undefined);
  }

  #endOrphan(fault: Fault): void {
    const { manner, response } = this.#options;
    if (manner.shared !== undefined) return this.#done.resolve({ kind: "moved" });
    const event = manner.lastEvent(fault);
    if (event === undefined) response.end();
    else this.#relay.endWith(event);
    this.#done.resolve(fault);
  }

  #lost(): void {
    this.#options.response.destroy();
    this.#done.resolve(undefined);
  }

  /** Nobody can come back for the rest of one large answer; what goes on without its client needs the whole body. */
  #clientLeft(): void {
    const { head, streams, manner } = this.#options;
    const leave = () => this.#done.resolve(undefined);
    this.#chunks?.fail(new Fault("client_left", "the client left"));
    if (manner.onLeaving === "cancel" || this.#chunks !== undefined) streams.tellOwner("cancel", { call: head.call });
    else if (manner.onLeaving === "nothing") return void this.#handed.promise.then(leave);
    else streams.tellOwner("detach", this.#reading);
    leave();
  }
}
