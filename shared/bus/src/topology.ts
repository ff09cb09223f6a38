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
const pullExpiresMs = 5_000;
const reopenMs = 200;

/** The one durable consumer of the AUDIT stream, shared by all replicas. Opens by itself, again and again, until it is stopped. */
export class AuditQueue {
  readonly #bus: Bus;
  readonly #options: AuditQueueOptions;
  readonly #off: () => void;
  #generation = 0;
  #consumer: Consumer | undefined;
  #messages: ConsumerMessages | undefined;

  constructor(bus: Bus, options: AuditQueueOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#off = bus.onReconnect(() => void this.#run());
    void this.#run();
  }

  /** Whether it pulls: false before control has made the stream. */
  get open(): boolean {
    return this.#messages !== undefined;
  }

  /** How many messages no replica has taken yet. */
  async pending(): Promise<number> {
    return (await this.#consumer?.info())?.num_pending ?? 0;
  }

  /** Pulls no more. What was delivered can still be acknowledged. */
  stop(): void {
    this.#off();
    this.#halt();
  }

  #halt(): number {
    this.#messages?.stop();
    this.#messages = undefined;
    return ++this.#generation;
  }

  async #run(): Promise<void> {
    const generation = this.#halt();
    while (generation === this.#generation) {
      await this.#consume(generation).catch(() => {});
      if (generation === this.#generation) this.#messages = undefined;
      await delay(reopenMs);
    }
  }

  async #consume(generation: number): Promise<void> {
    const manager = await jetstreamManager(this.#bus.nats);
    await manager.consumers.add(streams.audit.name, {
      durable_name: auditConsumer,
      ack_policy: AckPolicy.Explicit,
      ack_wait: this.#options.ackWaitMs * ms,
      max_ack_pending: maxUnacknowledged,
    });
    const consumer = await manager.jetstream().consumers.get(streams.audit.name, auditConsumer);
    if (generation !== this.#generation) return;
    const messages = await consumer.consume({
      max_messages: pullMessages,
      expires: pullExpiresMs,
      abort_on_missing_resource: true,
      callback: this.#options.onDelivery,
    });
    if (generation !== this.#generation) return messages.stop();
    this.#consumer = consumer;
    this.#messages = messages;
    await messages.closed();
  }
}
