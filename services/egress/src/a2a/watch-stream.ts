import { faultAnswer, TaskView } from "@sluice/a2a";
import type { AuditLog, StreamWriter } from "@sluice/bus";
import { chunkBytes, encodeJson, type Dialect, type Fault, type Renames, type StreamEnd } from "@sluice/contracts";
import type { ActiveCall } from "../active-call.ts";
import type { Replies } from "../replies.ts";
import { eventWith, type AgentEvent } from "./watch-events.ts";
import type { ViewBudget } from "./watch-views.ts";

export interface WatchStreamOptions {
  readonly replies: Replies;
  readonly audit: AuditLog;
  readonly views: ViewBudget;
  readonly call: ActiveCall;
  /** What the events are in. */
  readonly dialect: Dialect;
  /** The JSON-RPC id that they answer. */
  readonly rpcId: string | undefined;
  /** The replica that tells of them. */
  readonly by: string;
}

/** What the stream's head says beside what the call does. */
export interface Opening {
  readonly headers: Readonly<Record<string, string>>;
  readonly task?: string | undefined;
  readonly renames?: Renames | undefined;
}

/** A task as it was at a piece of its stream. */
export interface Snapshot {
  readonly after: number;
  /** The data of an event. */
  readonly data: Buffer;
  readonly fromSequence: number;
}

const retryMs = 250;
/** What the audit trail has no name for. */
const unknownKind = "other";

/** The stream that a watch writes: every event for all who read it, for the audit trail, and into the task as it is now. */
export class WatchStream {
  events = 0;
  state: string | undefined;
  task: string | undefined;
  readonly #options: WatchStreamOptions;
  readonly #view: TaskView;
  #writer: StreamWriter | undefined;
  /** The last piece of the last event. */
  #after = 0;

  constructor(options: WatchStreamOptions) {
    this.#options = options;
    this.#view = new TaskView(options.dialect, options.views.mostBytesEach);
    options.views.add(this.#view);
  }

  get isOpen(): boolean {
    return this.#writer !== undefined;
  }

  /** How far it is: the number of the last piece of its last event, and where in REPLIES what follows is. */
  get position(): { readonly after: number; readonly fromSequence: number } {
    return { after: this.#after, fromSequence: this.#writer?.fromSequence ?? 1 };
  }

  /** Sends the head, once. */
  open({ headers, task, renames }: Opening): void {
    const { replies, call, dialect, rpcId } = this.#options;
    this.#writer ??= replies.stream(call, {
      status: 200,
      headers,
      a2a: {
        dialect,
        ...(rpcId !== undefined && { rpcId }),
        ...(task !== undefined && { task }),
        ...(renames !== undefined && { renames }),
      },
    });
  }

  /** Sends an event to all who read, and resolves when the next may be. @throws Fault `unavailable` where nothing stores them any more */
  async send(event: AgentEvent): Promise<void> {
    const { views, call } = this.#options;
    const { task, state, kind } = event.observed;
    this.task ??= task;
    this.state = state ?? this.state;
    this.events++;
    call.bytes += event.lines.length;
    call.record.event(event.data, true);
    await this.#recorded(event);
    const sent = this.#write(event.lines);
    if (kind !== "message" && kind !== "error") this.#view.apply(event.data);
    views.changed(this.#view);
    await sent;
  }

  /** The task as it is now, where it is known. */
  snapshot(): Snapshot | undefined {
    const data = this.#view.snapshot();
    return data === undefined ? undefined : { ...this.position, data };
  }

  /** Ends it; whoever reads is told why, unless it goes on elsewhere. */
  async end(end: StreamEnd, fault?: Fault): Promise<void> {
    const { dialect, rpcId, views } = this.#options;
    views.remove(this.#view);
    if (this.#writer === undefined) return;
    if (fault !== undefined) {
      const { body } = faultAnswer(dialect, fault, rpcId);
      this.#options.call.record.event(body, true);
      await this.#write(eventWith(body, dialect).lines).catch(() => {});
    }
    await this.#writer.end(Buffer.from(encodeJson(end)));
  }

  /** In pieces that fit a frame, all of them at once: nobody joins within an event. */
  async #write(lines: Buffer): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) throw new Error("the stream is not open");
    const { stream } = this.#options.call.head;
    const sent: Promise<void>[] = [];
    let rest = lines;
    for (; rest.length > chunkBytes; rest = rest.subarray(chunkBytes))
      sent.push(writer.write(rest.subarray(0, chunkBytes), 1));
    this.#after = writer.next;
    sent.push(writer.write(Buffer.concat([rest, Buffer.from(`id: ${stream}.${this.#after}\n\n`)]), 1));
    await Promise.all(sent);
  }

  /** Nothing goes on that the audit trail has no room for. */
  async #recorded({ data, observed }: AgentEvent): Promise<void> {
    const { audit, call, by } = this.#options;
    const { kind, task, state } = observed;
    const { tenant, server, call: id, a2a } = call.head;
    while (audit.full && call.ended === undefined) await new Promise((resolve) => setTimeout(resolve, retryMs));
    if (kind === unknownKind) return;
    audit.add({
      event: "stream",
      call: id,
      number: (a2a?.again?.events ?? 0) + this.events,
      at: Date.now(),
      tenant,
      server,
      kind,
      bytes: data.length,
      by,
      ...(task !== undefined && { task }),
      ...(state !== undefined && { taskState: state }),
    });
  }
}
