import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { Fault } from "@sluice/contracts";
import { Received, type Incoming } from "./incoming.ts";

/** Nobody serves the subject; nobody answered in time; the answer could not be read; this process stops. */
export type WaitFailure = "nobody" | "timeout" | "unreadable" | "stopping";

export interface WaitOptions {
  /** Whose answers count: a service, or NATS itself. Without it all do, and `Incoming.from` says whose each is. */
  readonly from?: string;
  /** How long until `onFailure` is called; every `extend` starts it anew. */
  readonly timeoutMs: number;
  readonly onMessage: (message: Incoming) => void;
  readonly onFailure: (fault: Fault, reason: WaitFailure) => void;
}

export interface Waiting {
  readonly subject: string;
  extend(timeoutMs: number): void;
  /** After `onFailure`: takes in what comes late. */
  reopen(timeoutMs: number): void;
  close(): void;
}

interface Entry {
  deadline: number;
  readonly options: WaitOptions;
}

const messages: Readonly<Record<WaitFailure, string>> = {
  nobody: "a service that this request needs is not running",
  timeout: "a service that this request needs did not answer in time",
  unreadable: "an answer inside Sluice could not be read",
  stopping: "this replica is stopping",
};

const sweepEveryMs = 50;
const noResponders = 503;
/** Whose answers end with no service's name: PubAcks and what else JetStream says. No service may publish there. */
export const natsItself = "nats";

/**
 * All replies of this process arrive on wildcard subscriptions: a token finds who waits (ADR 0001), and behind it stands the
 * service that answers.
 */
export class Inbox {
  readonly #prefix: string;
  readonly #entries = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #next = 0;

  constructor(nats: NatsConnection, prefix: string) {
    this.#prefix = `${prefix}.`;
    for (const subject of [`${prefix}.*`, `${prefix}.*.*`]) {
      nats.subscribe(subject, {
        callback: (error, message) => {
          if (!error) this.#dispatch(message);
        },
      });
    }
    this.#timer = setInterval(() => this.#sweep(Date.now()), sweepEveryMs).unref();
  }

  open(options: WaitOptions): Waiting {
    const token = (this.#next++).toString(36);
    const entry: Entry = { deadline: Date.now() + options.timeoutMs, options };
    this.#entries.set(token, entry);
    return {
      subject: this.#prefix + token,
      extend: (timeoutMs) => {
        entry.deadline = Date.now() + timeoutMs;
      },
      reopen: (timeoutMs) => {
        entry.deadline = Date.now() + timeoutMs;
        this.#entries.set(token, entry);
      },
      close: () => {
        this.#entries.delete(token);
      },
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const token of [...this.#entries.keys()]) this.#fail(token, "stopping");
  }

  #dispatch(message: Msg): void {
    const rest = message.subject.slice(this.#prefix.length);
    const dot = rest.indexOf(".");
    const token = dot === -1 ? rest : rest.slice(0, dot);
    const from = dot === -1 ? natsItself : rest.slice(dot + 1);
    const entry = this.#entries.get(token);
    if (entry === undefined) return;
    if (dot === -1 && message.data.length === 0 && message.headers?.code === noResponders) {
      this.#fail(token, "nobody");
      return;
    }
    if (entry.options.from !== undefined && entry.options.from !== from) return;
    try {
      entry.options.onMessage(new Received(message, from));
    } catch {
      this.#fail(token, "unreadable");
    }
  }

  #sweep(now: number): void {
    for (const [token, entry] of this.#entries) {
      if (entry.deadline <= now) this.#fail(token, "timeout");
    }
  }

  #fail(token: string, reason: WaitFailure): void {
    const entry = this.#entries.get(token);
    if (entry === undefined) return;
    this.#entries.delete(token);
    entry.options.onFailure(new Fault("unavailable", messages[reason]), reason);
  }
}
