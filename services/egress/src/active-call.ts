import { Fault, isReading, isStreamed, type CallHead, type Outcome } from "@sluice/contracts";
import { AnswerRecord } from "./answer-record.ts";
import { Unread } from "./unread.ts";

/** More than this unread, and the upstream has to wait for the reader. */
const pauseBytes = 8 * 1024 * 1024;
/** More than this unread that nobody reads, and the answer is given up. */
const abandonedBytes = 16 * 1024 * 1024;
/** The same where somebody reads too slowly, and what sends cannot be made to wait. */
const mostBytes = 32 * 1024 * 1024;

export type Ending = Pick<Outcome, "status"> &
  Partial<Pick<Outcome, "fault" | "isError" | "events" | "task" | "taskState">>;

/** Something that ends with its call: an exchange, or an answer on its way. */
export interface Abortable {
  abort(fault: Fault): void;
}

/** A call that this replica works on, from taking it to its outcome. Times are Unix milliseconds. */
export class ActiveCall {
  readonly head: CallHead;
  readonly replyTo: string;
  /** The agent, whether it is a call or a stream, and by A2A whom it is for: long tasks of one keep nobody from another. */
  readonly countedAs: string;
  readonly startedAt = Date.now();
  readonly #startTickMs = performance.now();
  /** When something last came from the upstream. */
  lastActivity = this.startedAt;
  /** How long the upstream may be silent, in milliseconds, where that is not the endpoint's deadline. */
  patienceMs: number | undefined;
  /** The caller was told that this replica works on it, or has its answer. */
  announced = false;
  /** The answer, or its head, was sent. */
  answered = false;
  /** The answer is an event stream. */
  streaming = false;
  /** Who reads, as `OwnWord` says; undefined when nobody does. */
  reader: string | undefined;
  readerLeftAt = 0;
  /** Since when the upstream waits for a reader that reads nothing. */
  waitingSince: number | undefined;
  readonly #unread = new Unread();
  #goOn: (() => void) | undefined;
  /** Which server it acts on, where its address stands for several. */
  upstream: string | undefined;
  /** Hash of the definition of the tool that is called, where that was looked at. */
  definition: string | undefined;
  /** What the client was told. */
  readonly record = new AnswerRecord();
  /** Bytes relayed to the client. */
  bytes = 0;
  /** Set when the call was ended from this side: by the client, the clock or the stop of the service. */
  ended: Fault | undefined;
  readonly #parts = new Set<Abortable>();

  constructor(head: CallHead, replyTo: string) {
    this.head = head;
    this.replyTo = replyTo;
    const to = head.a2a === undefined ? "" : head.server;
    this.countedAs = `${head.tenant}\0${head.agent.id}\0${this.listening ? "stream" : "call"}\0${to}`;
    this.reader = head.stream;
  }

  get durationMs(): number {
    return performance.now() - this.#startTickMs;
  }

  get listening(): boolean {
    const { a2a, http, method } = this.head;
    if (a2a !== undefined) return isStreamed(a2a.operation);
    return http === "GET" || method === "subscriptions/listen";
  }

  /** It goes on when its client leaves: what is begun by A2A ends by A2A. */
  get outlivesClient(): boolean {
    const { a2a } = this.head;
    return a2a !== undefined && !isReading(a2a.operation);
  }

  /** The ingress replica of whoever reads. */
  get readerInstance(): string | undefined {
    return this.reader?.slice(0, this.reader.indexOf("."));
  }

  /** Counts what goes into the answer's stream, up to the piece of this number; ends the call where too much is unread. */
  relayed(bytes: number, last: number): void {
    this.bytes += bytes;
    this.#unread.sent(bytes, last);
    if (this.#unread.bytes > (this.reader === undefined ? abandonedBytes : mostBytes)) this.end(nobodyCameBack());
  }

  /** Resolves when the reader is near enough that more may be sent; at once where nobody reads or the call has ended. */
  async room(): Promise<void> {
    while (this.reader !== undefined && this.ended === undefined && this.#unread.bytes > pauseBytes) {
      this.waitingSince ??= Date.now();
      await new Promise<void>((resolve) => (this.#goOn = resolve));
    }
    this.waitingSince = undefined;
  }

  attach(part: Abortable): void {
    this.#parts.add(part);
    if (this.ended !== undefined) part.abort(this.ended);
  }

  /** It is over before the call is. */
  detach(part: Abortable): void {
    this.#parts.delete(part);
  }

  /** Somebody reads from now on. Gives back who was replaced. */
  read(by: string): string | undefined {
    const replaced = this.reader === by ? undefined : this.reader;
    this.reader = by;
    return replaced;
  }

  /** Whoever reads is so far. */
  progress(by: string, upTo: number): void {
    if (this.reader !== by) return;
    this.#unread.read(upTo);
    if (this.waitingSince !== undefined) this.waitingSince = Date.now();
    this.#goOn?.();
  }

  /** Nobody reads any more, unless somebody else does by now. */
  leave(by: string): void {
    if (this.reader !== by) return;
    this.reader = undefined;
    this.readerLeftAt = Date.now();
    this.#goOn?.();
  }

  /** Its client left: it ends, unless it is to go on without one. */
  abandon(): void {
    if (!this.outlivesClient) this.end(new Fault("client_left", "the client left"));
    else if (this.reader !== undefined) this.leave(this.reader);
  }

  end(fault: Fault): void {
    this.ended ??= fault;
    for (const part of this.#parts) part.abort(fault);
    this.#goOn?.();
  }
}

/** The end of an answer that nobody reads. */
export function nobodyCameBack(): Fault {
  return new Fault("client_left", "nobody came back for the answer");
}
