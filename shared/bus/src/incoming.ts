import type { Msg } from "@nats-io/transport-node";

/** A message as handlers see it. */
export interface Incoming {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Undefined where nobody waits for an answer. */
  readonly reply?: string | undefined;
  readonly headers?: { get(name: string): string; readonly code: number } | undefined;
  /** Of an answer: the service that NATS let publish it, or `nats` itself. */
  readonly from?: string | undefined;
}

/** A message of the client's, read as late as the client reads it. */
export class Received implements Incoming {
  readonly from: string | undefined;
  readonly #message: Msg;

  constructor(message: Msg, from?: string) {
    this.#message = message;
    this.from = from;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get reply(): string | undefined {
    return this.#message.reply || undefined;
  }

  get headers(): Msg["headers"] {
    return this.#message.headers;
  }
}
