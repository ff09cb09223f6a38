import { Fault, type CallHead, type Outcome } from "@sluice/contracts";

/** How many bytes of an answer are kept that nobody reads: REPLIES drops answers of others to make room. */
const unreadBytes = 16 * 1024 * 1024;

export type Ending = Pick<Outcome, "status"> & Partial<Pick<Outcome, "fault" | "isError" | "events">>;

/** Something that ends with its call: an exchange, or an answer on its way. */
export interface Abortable {
  abort(fault: Fault): void;
}

/** A call that this replica works on, from taking it to its outcome. Times are Unix milliseconds. */
export class ActiveCall {
  readonly head: CallHead;
  readonly replyTo: string;
  /** The agent, and whether it is a call or a stream. */
  readonly countedAs: string;
  readonly startedAt = Date.now();
  readonly #startTickMs = performance.now();
  /** When something last came from the upstream. */
  lastActivity = this.startedAt;
  /** The caller was told that this replica works on it, or has its answer. */
  announced = false;
  /** The answer, or its head, was sent. */
  answered = false;
  /** The answer is an event stream. */
  streaming = false;
  /** Which ingress replica reads; undefined when nobody does. */
  reader: string | undefined;
  readerLeftAt = 0;
  #bytesRead = 0;
  /** Bytes relayed to the client. */
  bytes = 0;
  /** Set when the call was ended from this side: by the client, the clock or the stop of the service. */
  ended: Fault | undefined;
  readonly #parts: Abortable[] = [];

  constructor(head: CallHead, replyTo: string) {
    this.head = head;
    this.replyTo = replyTo;
    this.countedAs = `${head.tenant}\0${head.agent.id}\0${this.listening ? "stream" : "call"}`;
    this.reader = head.stream.slice(0, head.stream.indexOf("."));
  }

  get durationMs(): number {
    return performance.now() - this.#startTickMs;
  }

  get listening(): boolean {
    return this.head.http === "GET" || this.head.method === "subscriptions/listen";
  }

  /** Counts what goes into the answer's stream, and ends the call where that is too much for nobody. */
  relayed(bytes: number): void {
    this.bytes += bytes;
    if (this.reader === undefined && this.bytes - this.#bytesRead > unreadBytes) this.end(nobodyCameBack());
  }

  attach(part: Abortable): void {
    this.#parts.push(part);
    if (this.ended !== undefined) part.abort(this.ended);
  }

  read(by: string): void {
    this.reader = by;
  }

  leave(): void {
    if (this.reader === undefined) return;
    this.reader = undefined;
    this.readerLeftAt = Date.now();
    this.#bytesRead = this.bytes;
  }

  end(fault: Fault): void {
    this.ended ??= fault;
    for (const part of this.#parts) part.abort(fault);
  }
}

/** The end of an answer that nobody reads. */
export function nobodyCameBack(): Fault {
  return new Fault("client_left", "nobody came back for the answer");
}
