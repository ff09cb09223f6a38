import { setTimeout as delay } from "node:timers/promises";
import {
  AckPolicy,
  DiscardPolicy,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type Consumer,
  type ConsumerMessages,
  type StreamConfig,
} from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { confBucket, streams } from "@sluice/contracts";
import type { Bus } from "./bus.ts";

export interface TopologyOptions {
  /** Copies of each stream: 1 on one server, 3 in production. */
  readonly replicas: number;
  /** Bound of what waits for the audit service; when it is reached, calls are refused. */
  readonly auditMaxBytes: number;
  /** Bound and age of streamed answers kept for resumption. */
  readonly repliesMaxBytes: number;
  readonly repliesMaxAgeMs: number;
}

const second = 1_000_000_000;
const ms = 1_000_000;

/** Makes or updates the JetStream streams and the configuration bucket. Only control may. */
export async function ensureTopology(bus: Bus, options: TopologyOptions): Promise<void> {
  const manager = await jetstreamManager(bus.nats);
  const common = { storage: StorageType.File, num_replicas: options.replicas };
  const wanted: (Partial<StreamConfig> & { name: string; subjects: string[] })[] = [
    {
      ...common,
      name: streams.audit.name,
      subjects: [...streams.audit.subjects],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_bytes: options.auditMaxBytes,
      duplicate_window: second,
    },
    {
      ...common,
      name: streams.dead.name,
      subjects: [...streams.dead.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      max_bytes: options.auditMaxBytes,
    },
    {
      ...common,
      name: streams.replies.name,
      subjects: [...streams.replies.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_bytes: options.repliesMaxBytes,
      max_age: options.repliesMaxAgeMs * ms,
      duplicate_window: second,
      allow_direct: true,
    },
  ];
  const existing = new Set<string>();
  for await (const name of manager.streams.names()) existing.add(name);
  for (const { name, ...config } of wanted) {
    if (existing.has(name)) await manager.streams.update(name, config);
    else await manager.streams.add({ name, ...config });
  }
  await new Kvm(bus.nats).create(confBucket, { history: 5, replicas: options.replicas });
}

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
/** Also how long a stop may take: what the server has sent already must not be left lying until its wait is over. */
const pullExpiresMs = 1_000;
const reopenMs = 200;

/** The one durable consumer of the AUDIT stream, shared by all replicas. Opens by itself, again and again, until it is stopped. */
export class AuditQueue {
  readonly #bus: Bus;
  readonly #options: AuditQueueOptions;
  readonly #off: () => void;
  readonly #finished: Promise<void>;
  #stopped = false;
  #consumer: Consumer | undefined;
  #messages: ConsumerMessages | undefined;

  constructor(bus: Bus, options: AuditQueueOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#off = bus.onReconnect(() => {
      this.#consumer = undefined;
      this.#messages?.stop();
    });
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
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#consumer ??= await this.#openConsumer();
        await this.#pull(this.#consumer);
      } catch {
        this.#consumer = undefined;
        if (!this.#stopped) await delay(reopenMs);
      }
    }
  }

  async #openConsumer(): Promise<Consumer> {
    const manager = await jetstreamManager(this.#bus.nats);
    await manager.consumers.add(streams.audit.name, {
      durable_name: auditConsumer,
      ack_policy: AckPolicy.Explicit,
      ack_wait: this.#options.ackWaitMs * ms,
      max_ack_pending: maxUnacknowledged,
    });
    return manager.jetstream().consumers.get(streams.audit.name, auditConsumer);
  }

  async #pull(consumer: Consumer): Promise<void> {
    this.#messages = await consumer.fetch({ max_messages: pullMessages, expires: pullExpiresMs });
    for await (const message of this.#messages) this.#options.onDelivery(message);
  }
}
