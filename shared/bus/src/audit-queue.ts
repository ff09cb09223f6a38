import { setTimeout as delay } from "node:timers/promises";
import { AckPolicy, jetstreamManager, type Consumer } from "@nats-io/jetstream";
import { encodeJson, streams, subjects } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import type { Incoming } from "./incoming.ts";

/** A message of the AUDIT stream in one replica's hands: it comes again unless it is acknowledged. */
export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Done with: the stream drops it. */
  ack(): void;
  /** Not done with: some replica gets it again. */
  nak(delayMs?: number): void;
  /** Still in work: the wait for its acknowledgement begins anew. */
  working(): void;
}

export interface AuditQueueOptions {
  /** How long a delivery may stay unacknowledged before it is given to some replica again. */
  readonly ackWaitMs: number;
  readonly onDelivery: (delivery: Delivery) => void;
}

const auditConsumer = "audit";
/** Bounds what all replicas together hold in memory. */
const maxUnacknowledged = 2_000;
const pullMessages = 500;
/** Between two pulls that did not come back full: events are taken in handfuls, not each as it is stored. */
const restMs = 50;
/** How long a pull stays open for what comes after it. */
const pullOpenMs = 5;
/** A pull is over after this long, should the server's word that it is over be lost. */
const pullTimeoutMs = 1_000;
const reopenMs = 200;
const nanosecondsPerMs = 1_000_000;

/** The one durable consumer of the AUDIT stream, shared by all replicas. Opens by itself, again and again, until it is stopped. */
export class AuditQueue {
  readonly #bus: Bus;
  readonly #options: AuditQueueOptions;
  readonly #off: () => void;
  readonly #finished: Promise<void>;
  #stopped = false;
  /** What still comes is given back. */
  #closed = false;
  #consumer: Consumer | undefined;
  readonly #inbox: string;
  #taken = 0;
  #pullOver: () => void = () => {};

  constructor(bus: Bus, options: AuditQueueOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#inbox = `${subjects.inbox(bus.service, bus.instance)}.pull.of.audit`;
    bus.listen(this.#inbox, (message) => this.#onMessage(message));
    this.#off = bus.onReconnect(() => (this.#consumer = undefined));
    this.#finished = this.#run();
  }

  /** Whether it pulls: false before control has made the stream. */
  get open(): boolean {
    return this.#consumer !== undefined;
  }

  /** How many messages no replica has taken yet. */
  async pending(): Promise<number> {
    return (await this.#consumer?.info())?.num_pending ?? 0;
  }

  /** Pulls no more; resolves when everything that was on its way is delivered. It can still be acknowledged then. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#off();
    await this.#finished;
    this.#closed = true;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#consumer ??= await this.#openConsumer();
        const taken = await this.#pull();
        if (taken < pullMessages) await delay(restMs);
      } catch {
        this.#consumer = undefined;
        if (!this.#stopped) await delay(reopenMs);
      }
    }
  }

  async #openConsumer(): Promise<Consumer> {
    const manager = await jetstreamManager(this.#bus.nats);
    const limits = { ack_wait: this.#options.ackWaitMs * nanosecondsPerMs, max_ack_pending: maxUnacknowledged };
    const config = { durable_name: auditConsumer, ack_policy: AckPolicy.Explicit, ...limits };
    // A consumer that exists with other limits refuses to be added; it takes the new ones over.
    await manager.consumers
      .add(streams.audit.name, config)
      .catch(() => manager.consumers.update(streams.audit.name, auditConsumer, limits));
    return manager.jetstream().consumers.get(streams.audit.name, auditConsumer);
  }

  /** Takes what is there now, `pullMessages` at the most, and resolves with how many that were. */
  async #pull(): Promise<number> {
    this.#taken = 0;
    const over = Promise.withResolvers<void>();
    this.#pullOver = over.resolve;
    const pull = encodeJson({ batch: pullMessages, expires: pullOpenMs * nanosecondsPerMs });
    this.#bus.tell(`$JS.API.CONSUMER.MSG.NEXT.${streams.audit.name}.${auditConsumer}`, pull, { reply: this.#inbox });
    const patience = setTimeout(over.resolve, pullTimeoutMs);
    await over.promise.finally(() => clearTimeout(patience));
    return this.#taken;
  }

  /** Deliveries keep the subject under which they were stored; what has none to acknowledge is the server's word that there is no more. */
  #onMessage(message: Incoming): void {
    if (message.reply !== undefined) {
      this.#taken++;
      const delivery = new HeldDelivery(this.#bus, message);
      if (this.#closed) delivery.nak();
      else this.#options.onDelivery(delivery);
      if (this.#taken < pullMessages) return;
    }
    this.#pullOver();
  }
}

class HeldDelivery implements Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly #bus: Bus;
  readonly #reply: string;

  constructor(bus: Bus, { subject, data, reply }: Incoming) {
    this.#bus = bus;
    this.subject = subject;
    this.data = data;
    this.#reply = reply ?? "";
  }

  ack(): void {
    this.#say("+ACK");
  }

  nak(delayMs?: number): void {
    this.#say(delayMs === undefined ? "-NAK" : `-NAK {"delay": ${delayMs * nanosecondsPerMs}}`);
  }

  working(): void {
    this.#say("+WPI");
  }

  /** What is not said, because the bus is away, is made good by redelivery. */
  #say(word: string): void {
    if (this.#bus.connected) this.#bus.tell(this.#reply, Buffer.from(word));
  }
}
