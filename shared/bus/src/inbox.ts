import type { NatsConnection } from "@nats-io/transport-node";
import { Fault } from "@sluice/contracts";
import type { Incoming } from "./bus.ts";

/** Nobody serves the subject; nobody answered in time; the answer could not be read; this process stops. */
export type WaitFailure = "nobody" | "timeout" | "unreadable" | "stopping";

export interface WaitOptions {
  /** How long until `onFailure` is called; every `extend` starts it anew. */
  readonly timeoutMs: number;
  readonly onMessage: (message: Incoming) => void;
  readonly onFailure: (fault: Fault, reason: WaitFailure) => void;
}

export interface Waiting {
  readonly subject: string;
  extend(timeoutMs: number): void;
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

/** All replies of this process arrive on one wildcard subscription; the last token finds who waits (ADR 0001). */
export class Inbox {
  readonly #prefix: string;
  readonly #entries = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #next = 0;

  constructor(nats: NatsConnection, prefix: string) {
    this.#prefix = `${prefix}.`;
    nats.subscribe(`${prefix}.*`, {
      callback: (error, message) => {
        if (!error) this.#dispatch(message);
      },
    });
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

  #dispatch(message: Incoming): void {
    const token = message.subject.slice(this.#prefix.length);
    const entry = this.#entries.get(token);
    if (entry === undefined) return;
    if (message.data.length === 0 && message.headers?.code === noResponders) {
      this.#fail(token, "nobody");
      return;
    }
    try {
      entry.options.onMessage(message);
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
