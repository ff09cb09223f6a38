import { setTimeout as delay } from "node:timers/promises";
import { AckPolicy, jetstreamManager, type Consumer } from "@nats-io/jetstream";
import { encodeJson, subjects } from "@sluice/contracts";
import type { Bus } from "./bus.ts";
import type { Incoming } from "./incoming.ts";

/** A message of a stream in one replica's hands: it comes again unless it is acknowledged. */
export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Its place in the stream. */
  readonly sequence: number;
  /** How often it was given to some replica, this time included. */
  readonly tries: number;
  /** Done with: the stream drops it. */
  ack(): void;
  /** Not done with: some replica gets it again. */
  nak(delayMs?: number): void;
  /** Still in work: the wait for its acknowledgement begins anew. */
  working(): void;
}

export interface WorkQueueOptions {
  readonly stream: string;
  /** The name of the one durable consumer, shared by all replicas. */
  readonly consumer: string;
  /** How long a delivery may stay unacknowledged before it is given to some replica again. */
  readonly ackWaitMs: number;
  /** Bounds what all replicas together hold, and what waits to be tried again; -1: nothing does. */
  readonly mostUnacknowledged: number;
  /** How many more this replica takes now. */
  readonly room: () => number;
  /** How long a pull stays open for what comes after it. */
  readonly openMs: number;
  /** Between two pulls that did not come back full. */
  readonly restMs: number;
  readonly onDelivery: (delivery: Delivery) => void;
}

/** A pull is over this long after it closed, should the server's word that it is over be lost. */
const lostWordMs = 1_000;
const reopenMs = 200;
/** Until there may be room again. */
const fullRestMs = 50;
const nanosecondsPerMs = 1_000_000;

/** One durable consumer of a stream. Opens by itself, again and again, until it is stopped. */
export class WorkQueue {
  readonly #bus: Bus;
  readonly #options: WorkQueueOptions;
  readonly #off: () => void;
  readonly #finished: Promise<void>;
  #stopped = false;
  /** What still comes is given back. */
  #closed = false;
  #consumer: Consumer | undefined;
  readonly #inbox: string;
  #taken = 0;
  #asked = 0;
  #pullOver: () => void = () => {};

  constructor(bus: Bus, options: WorkQueueOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#inbox = `${subjects.inbox(bus.service, bus.instance)}.pull.of.${options.consumer}`;
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
        const room = this.#options.room();
        const isFull = room > 0 ? (await this.#pull(room)) === room : false;
        if (!isFull) await delay(room > 0 ? this.#options.restMs : fullRestMs);
      } catch {
        this.#consumer = undefined;
        if (!this.#stopped) await delay(reopenMs);
      }
    }
  }

  async #openConsumer(): Promise<Consumer> {
    const { stream, consumer, ackWaitMs, mostUnacknowledged } = this.#options;
    const manager = await jetstreamManager(this.#bus.nats);
    const limits = { ack_wait: ackWaitMs * nanosecondsPerMs, max_ack_pending: mostUnacknowledged };
    const config = { durable_name: consumer, ack_policy: AckPolicy.Explicit, ...limits };
    // A consumer that exists with other limits refuses to be added; it takes the new ones over.
    await manager.consumers.add(stream, config).catch(() => manager.consumers.update(stream, consumer, limits));
    return manager.jetstream().consumers.get(stream, consumer);
  }

  /** Takes what is there, `most` at the most, and resolves with how many that were. */
  async #pull(most: number): Promise<number> {
    const { stream, consumer, openMs } = this.#options;
    this.#taken = 0;
    this.#asked = most;
    const over = Promise.withResolvers<void>();
    this.#pullOver = over.resolve;
    const pull = encodeJson({ batch: most, expires: openMs * nanosecondsPerMs });
    this.#bus.tell(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, pull, { reply: this.#inbox });
    const patience = setTimeout(over.resolve, openMs + lostWordMs);
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
      if (this.#taken < this.#asked) return;
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

  get sequence(): number {
    return ackToken(this.#reply, 1);
  }

  get tries(): number {
    return ackToken(this.#reply, 0) || 1;
  }

  ack(): void {
    this.#say("+ACK");
  }

  nak(delayMs?: number): void {
    this.#say(delayMs === undefined ? "-NAK" : `-NAK {"delay": ${Math.round(delayMs) * nanosecondsPerMs}}`);
  }

  working(): void {
    this.#say("+WPI");
  }

  /** What is not said, because the bus is away, is made good by redelivery. */
  #say(word: string): void {
    if (this.#bus.connected) this.#bus.tell(this.#reply, Buffer.from(word));
  }
}

/** `$JS.ACK[.<domain>.<account>].<stream>.<consumer>.<tries>.<sequence>.…` */
function ackToken(reply: string, behindTries: number): number {
  const tokens = reply.split(".");
  return Number(tokens[(tokens.length > 10 ? 6 : 4) + behindTries]) || 0;
}
