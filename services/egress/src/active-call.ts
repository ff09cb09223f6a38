import type { CallHead, Fault, Outcome } from "@sluice/contracts";
import type { Exchange } from "./exchange.ts";

export type Ending = Pick<Outcome, "status"> & Partial<Pick<Outcome, "fault" | "isError" | "events">>;

/** A call that this replica works on, from taking it to its outcome. Times are Unix milliseconds. */
export class ActiveCall {
  readonly head: CallHead;
  readonly replyTo: string;
  readonly startedAt = Date.now();
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
  /** Bytes relayed to the client. */
  bytes = 0;
  /** Set when the call was ended from this side: by the client, the clock or the stop of the service. */
  ended: Fault | undefined;
  #exchange: Exchange | undefined;

  constructor(head: CallHead, replyTo: string) {
    this.head = head;
    this.replyTo = replyTo;
    this.reader = head.stream.slice(0, head.stream.indexOf("."));
  }

  get listening(): boolean {
    return this.head.http === "GET";
  }

  attach(exchange: Exchange): void {
    this.#exchange = exchange;
    if (this.ended !== undefined) exchange.abort(this.ended);
  }

  read(by: string): void {
    this.reader = by;
  }

  leave(): void {
    this.reader = undefined;
    this.readerLeftAt = Date.now();
  }

  end(fault: Fault): void {
    this.ended ??= fault;
    this.#exchange?.abort(fault);
  }
}
