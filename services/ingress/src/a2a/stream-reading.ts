import { setTimeout as sleep } from "node:timers/promises";
import { allRenames, clientOf } from "@sluice/a2a";
import { Fault, toFault, type Renames, type ReplyHead, type StreamHead, type TaskWatch } from "@sluice/contracts";
import { Body } from "../body.ts";
import { lostFault, ToldFault, type Elsewhere, type Owner } from "../conversation-ends.ts";
import { Conversation, type HandedHead } from "../conversation.ts";
import { quotaHeaders } from "../quota-headers.ts";
import { header } from "../request-head.ts";
import { startEventStream } from "../writing.ts";
import { a2aMannerOf } from "./a2a-manner.ts";
import { follow, type Followed } from "./follow.ts";
import { findKeptTask, type KeptTask } from "./stream-kept.ts";
import { againOf } from "./stream-again.ts";
import { dataLines } from "./event-lines.ts";
import { StreamAnswer } from "./stream-answer.ts";
import type { StreamedCall, StreamParts } from "./stream.ts";

/** Before it is asked again where a stream goes on, should nobody know at the moment. */
const pausesMs = [100, 300, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];
/** What may be different a moment later. */
const passing: ReadonlySet<string> = new Set(["unavailable", "overloaded", "upstream_unavailable"]);

/** Where a stream goes on. */
interface Onward {
  /** The watch that is no more. */
  readonly gone: TaskWatch | undefined;
  readonly isMoved: boolean;
  /** The replica that is said to have the watch. */
  readonly watch?: TaskWatch;
}

/** What is asked of egress, and whom to ask. */
interface Question {
  readonly head: HandedHead;
  readonly body: Body;
  /** The replica that is said to have the watch. */
  readonly watch: TaskWatch | undefined;
}

/** One client's reading of a task's events, on however many streams they come, until the task, the client or the way to it ends. */
export class StreamReading {
  readonly #parts: StreamParts;
  readonly #call: StreamedCall;
  readonly #answer: StreamAnswer;
  /** The upstream's id. */
  #task: string | undefined;
  #renames: Renames | undefined;
  /** The stream that was read last. */
  #watch: TaskWatch | undefined;
  #pieces = 0;
  #bytes = 0;
  /** Whether the end of the call is seen here and not in egress. */
  #isOwn = false;

  constructor(parts: StreamParts, call: StreamedCall) {
    const { journey, head } = call;
    const { dialect: client, operation, rpcId, named } = journey.read;
    const known = head.a2a?.known;
    this.#parts = parts;
    this.#call = call;
    this.#task = known?.task?.id;
    this.#renames = known?.renames;
    this.#answer = new StreamAnswer(journey.response, {
      ...{ client, operation, named },
      ...(rpcId !== undefined && { rpcId }),
      ...(known?.task !== undefined && { hasTask: true }),
      ...(known?.task?.context !== undefined && { context: known.task.context }),
    });
  }

  async run(): Promise<void> {
    try {
      for (let onward = await this.#read(); onward !== undefined;) onward = await this.#again(onward);
      if (this.#isOwn) this.#conclude(this.#answer.fault);
    } catch (error) {
      if (!this.#answer.headersSent || this.#answer.destroyed) throw error;
      const fault = toFault(error);
      this.#answer.fail(fault);
      if (this.#isOwn || !(error instanceof ToldFault)) this.#conclude(fault);
    }
  }

  /** Reads the first of its streams. Gives back where the task goes on, if it does elsewhere; so do all that read one. */
  async #read(): Promise<Onward | undefined> {
    const { head, journey } = this.#call;
    const kept = await this.#kept();
    if (kept !== undefined) {
      const { end } = await this.#follow({ watch: kept.watch, after: kept.after, fromSequence: 1 }, () =>
        this.#begin(kept.head),
      );
      if (end === "moved") return this.#moved;
      if (end !== "lost") return undefined;
      if (this.#answer.headersSent) {
        this.#answer.destroy();
        return undefined;
      }
      this.#isOwn = false;
    }
    const subscribes = head.a2a?.operation === "SubscribeToTask";
    const watch = subscribes ? head.a2a?.known?.task?.watch : undefined;
    const body = subscribes ? new Body(Buffer.from(journey.body.bytes)) : journey.body;
    return await this.#ask({ head, body, watch });
  }

  /** Asks egress, and reads what comes of it to its end. */
  async #ask(question: Question): Promise<Onward | undefined> {
    let elsewhere: Elsewhere | undefined;
    try {
      elsewhere = await this.#converse(question);
    } catch (error) {
      if (question.watch === undefined || error instanceof ToldFault || this.#answer.destroyed) throw error;
      // Whoever had the watch is gone.
      return { gone: question.watch, isMoved: question.head.a2a?.again?.isMoved ?? false };
    }
    if (elsewhere?.kind === "moved") return this.#moved;
    return elsewhere?.kind === "follow" ? await this.#followed(elsewhere) : undefined;
  }

  /** The stream that was read last is over before the task is. */
  get #moved(): Onward {
    return { gone: this.#watch, isMoved: true };
  }

  async #converse({ head, body, watch }: Question): Promise<Elsewhere | undefined> {
    const { bus, streams, passage } = this.#parts;
    const { journey, crossing, decided, budget } = this.#call;
    const owner: Owner | undefined = watch === undefined ? undefined : { instance: watch.egress, isNeeded: true };
    const conversation = new Conversation({
      bus,
      streams,
      response: this.#answer,
      head,
      body,
      owner,
      manner: { ...a2aMannerOf(journey, head, budget), shared: { onHead: (told) => this.#reads(told, head.stream) } },
      extraHeaders: quotaHeaders(decided.admitted.limit.quotas),
    });
    const end = await conversation.run();
    const { pieces, bytes } = conversation.written;
    this.#pieces += pieces;
    this.#bytes += bytes;
    if (!(end instanceof Fault)) return end;
    passage.conclude(crossing, { ...decided, fault: end, status: this.#answer.statusCode });
    return undefined;
  }

  /** Another stream has what was asked for: with the task as it is there, or still to be asked for there. */
  async #followed({ head, snapshot }: Extract<Elsewhere, { kind: "follow" }>): Promise<Onward | undefined> {
    const told = head.follow;
    if (told === undefined) throw new Fault("internal", "a stream to follow has a name");
    this.#isOwn = true;
    const { watch, after, fromSequence = 1, rpcId } = told;
    if (after === undefined) return { gone: watch, isMoved: this.#pieces > 0, watch };
    const { end } = await this.#follow({ watch, after, fromSequence }, () => {
      this.#source({ ...head, ...(rpcId !== undefined && { rpcId }) });
      this.#start(head);
      this.#answer.write(dataLines(snapshot, `${watch.stream}.${after}`));
    });
    if (end === "lost") this.#answer.destroy();
    return end === "moved" ? this.#moved : undefined;
  }

  async #follow(
    at: { readonly watch: TaskWatch; readonly after: number; readonly fromSequence: number },
    onBegin: () => void,
  ): Promise<Followed> {
    const { bus, streams } = this.#parts;
    const { after, fromSequence } = at;
    const { egress, stream } = at.watch;
    const { tenant } = this.#call.head;
    this.#isOwn = true;
    this.#watch = at.watch;
    const answer = this.#answer;
    const followed = await follow({ bus, streams, answer, tenant, stream, egress, after, fromSequence, onBegin });
    this.#pieces += followed.pieces - after;
    this.#bytes += followed.bytes;
    if (followed.end === "over") answer.end();
    return followed;
  }

  /** The stream is over before the task is: asks where it goes on, until somebody knows; the connection stays. */
  async #again({ gone, isMoved, watch }: Onward): Promise<Onward | undefined> {
    const { streams } = this.#parts;
    const { head } = this.#call;
    if (this.#answer.destroyed) return undefined;
    if (isMoved && this.#answer.last?.isLast === true) {
      this.#answer.end();
      return undefined;
    }
    const task = this.#task ?? this.#answer.last?.task;
    if (task === undefined) throw lostFault();
    this.#isOwn = true;
    const again = { events: this.#pieces, isMoved, ...(watch === undefined && gone !== undefined && { gone }) };
    for (const pauseMs of [...pausesMs, undefined]) {
      const stream = streams.nextName();
      try {
        return await this.#ask({ ...againOf({ head, stream, task, renames: this.#renames, again }), watch });
      } catch (error) {
        const isPassing = passing.has(toFault(error).kind) && isMoved && !this.#answer.destroyed;
        if (pauseMs === undefined || !isPassing) throw error;
        await sleep(pauseMs);
      }
    }
  }

  /** The rest of a stream that the client had read before, where it is to be had. */
  async #kept(): Promise<KeptTask | undefined> {
    const { head, journey } = this.#call;
    const lastEventId = header(journey.request, "last-event-id");
    if (lastEventId === undefined || head.a2a?.operation !== "SubscribeToTask") return undefined;
    return await findKeptTask(this.#parts.bus, lastEventId, head).catch(() => undefined);
  }

  /** A stream of its own has begun. */
  #reads(head: StreamHead, stream: string): void {
    this.#watch = { egress: head.egress, stream };
    this.#task ??= head.task;
    this.#source(head);
  }

  /** What is kept of a stream goes on. */
  #begin(head: StreamHead): void {
    this.#answer.goesOn();
    this.#source(head);
    this.#start(head);
  }

  #source({ dialect, rpcId, renames }: Pick<StreamHead, "dialect" | "rpcId" | "renames">): void {
    if (dialect === undefined) throw new Fault("internal", "a stream of A2A says what it is in");
    this.#renames = allRenames(this.#renames, renames);
    const { a2a } = this.#call.head;
    const client = a2a === undefined ? {} : { client: clientOf(a2a, dialect) };
    this.#answer.reads({ dialect, rpcId, renames: this.#renames, ...client });
  }

  #start({ status, headers }: Pick<ReplyHead, "status" | "headers">): void {
    const extraHeaders = quotaHeaders(this.#call.decided.admitted.limit.quotas);
    startEventStream(
      this.#answer,
      { status, headers: { "content-type": "text/event-stream", ...headers }, extraHeaders },
      undefined,
    );
  }

  #conclude(fault: Fault | undefined): void {
    const { crossing, decided } = this.#call;
    this.#parts.passage.conclude(crossing, {
      ...decided,
      status: this.#answer.statusCode,
      bytes: this.#bytes,
      ...(fault !== undefined && { fault }),
    });
  }
}
