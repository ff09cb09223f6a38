import { store, WorkQueue, type AuditLog, type Bus, type Delivery } from "@sluice/bus";
import { decodeHeadAndBody, encodeJson, streams, subjects, type Action, type PushHead } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { Deliverer, Verdict } from "./push-delivery.ts";
import { Lane } from "./push-lane.ts";

export interface DispatcherOptions {
  readonly bus: Bus;
  readonly log: Log;
  readonly deliverer: Deliverer;
  readonly audit: AuditLog;
  readonly counted: (outcome: Verdict["is"]) => void;
  readonly ackWaitMs: number;
  /** How many this replica has in hand at once, and of one tenant. */
  readonly mostHeld: number;
  readonly mostHeldPerTenant: number;
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
}

/** How often a notification in hand says so while it waits for its acknowledgement. */
const holdsPerAckWait = 3;
const pullOpenMs = 1_000;
const storeTimeoutMs = 5_000;
/** Until there may be a turn. */
const busyMs = 2_000;
/** Those that wait behind one that failed come back behind it. */
const betweenMs = 10;
/** The pause grows by this part of a notification's age: geometrically, however often it was in whose hands. */
const growth = 0.5;
/** The pause of what was not tried grows so far. */
const mostBusy = 8;
/** Notifications of which it is known how often they were sent away untried. */
const mostUntried = 20_000;
const spread = 0.25;

/**
 * Takes what agents told to clients: at least once, those of one configuration one after the other as long as nothing fails.
 * All replicas share one durable consumer; what one that died had in hand comes to another.
 */
export class PushDispatcher implements AsyncDisposable {
  readonly #options: DispatcherOptions;
  readonly #queue: WorkQueue;
  /** By configuration. */
  readonly #lanes = new Map<string, Lane>();
  /** How many are in hand, by tenant. */
  readonly #shares = new Map<string, number>();
  /** How often what waits was sent away without a try, by its place in the stream. */
  readonly #untried = new Map<number, number>();
  readonly #held = new Set<Delivery>();
  readonly #running = new Set<Promise<void>>();
  readonly #holding: NodeJS.Timeout;
  #stopping = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { bus, ackWaitMs, mostHeld } = options;
    this.#queue = new WorkQueue(bus, {
      stream: streams.push.name,
      consumer: "push",
      ackWaitMs,
      // What waits to be tried again must not keep others from their first try.
      mostUnacknowledged: -1,
      room: () => mostHeld - this.#held.size,
      openMs: pullOpenMs,
      restMs: 0,
      onDelivery: (delivery) => this.#take(delivery),
    });
    this.#holding = setInterval(() => {
      for (const delivery of this.#held) delivery.working();
      for (const [id, lane] of this.#lanes) if (lane.isOver(Date.now())) this.#lanes.delete(id);
    }, ackWaitMs / holdsPerAckWait);
  }

  get open(): boolean {
    return this.#queue.open;
  }

  pending(): Promise<number> {
    return this.#queue.pending();
  }

  /** What is on its way to a client arrives; the rest goes back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await this.#queue.stop();
    await Promise.all(this.#running);
    clearInterval(this.#holding);
  }

  /** No configuration and no tenant has more in hand than its share: what is slow makes nobody else wait. */
  #take(delivery: Delivery): void {
    const [id, tenant, now] = [idOf(delivery), tenantOf(delivery), Date.now()];
    const lane = this.#lanes.get(id) ?? new Lane();
    this.#lanes.set(id, lane);
    const share = this.#shares.get(tenant) ?? 0;
    if (share >= this.#options.mostHeldPerTenant)
      return this.#sendAway(delivery, lane.sendAway(delivery, { now, atLeastMs: this.#busyMs(delivery) }));
    if (!lane.admits(delivery, now)) return this.#sendAway(delivery, lane.sendAway(delivery, { now }));
    this.#held.add(delivery);
    this.#shares.set(tenant, share + 1);
    lane.add(delivery);
    if (lane.held.length > 1) return;
    const running = this.#run(id, lane).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #run(id: string, lane: Lane): Promise<void> {
    const { held } = lane;
    for (let first = held[0]; first !== undefined; first = held[0]) {
      lane.tries(Date.now());
      const verdict = this.#stopping ? undefined : await this.#carry(first);
      lane.tried(Date.now());
      if (verdict === undefined || verdict.is === "again" || verdict.is === "busy") {
        const pauseMs = verdict === undefined ? 0 : this.#pauseOf(verdict, first);
        for (const [place, one] of held.splice(0).entries()) {
          this.#letGo(one);
          if (one === first && verdict?.is === "again") one.nak(pauseMs);
          else this.#sendAway(one, pauseMs + place * betweenMs);
        }
      } else {
        held.shift();
        this.#letGo(first);
        this.#untried.delete(first.sequence);
        first.ack();
      }
    }
    if (lane.isOver(Date.now())) this.#lanes.delete(id);
  }

  /** What is told of it is kept before it is let go of. */
  async #carry(delivery: Delivery): Promise<Verdict | undefined> {
    const { log, bus, deliverer, audit, counted } = this.#options;
    try {
      const tries = delivery.tries - (this.#untried.get(delivery.sequence) ?? 0);
      const verdict = await deliverer.deliver({ data: delivery.data, tries });
      const { is, about } = verdict;
      counted(is);
      if (is === "dead") {
        await store(bus, { subject: subjects.pushDead, payload: encodeJson(about) }, storeTimeoutMs);
        log.error({ ...about }, "a push notification cannot be delivered");
      } else if (is === "again") log.warn({ ...about }, "a push notification was not taken: it is tried again");
      if (is === "dead" || is === "delivered") audit.add({ event: "action", ...actionOf(verdict) });
      return verdict;
    } catch (error) {
      log.error({ error: describeError(error) }, "a push notification waits");
      return { is: "busy", about: { id: "", at: Date.now(), reason: "", tries: 0, bytes: 0 } };
    }
  }

  #letGo(delivery: Delivery): void {
    const tenant = tenantOf(delivery);
    const share = (this.#shares.get(tenant) ?? 1) - 1;
    this.#held.delete(delivery);
    if (share > 0) this.#shares.set(tenant, share);
    else this.#shares.delete(tenant);
  }

  /** It was not tried: that does not count as a try. */
  #sendAway(delivery: Delivery, pauseMs: number): void {
    const { sequence } = delivery;
    this.#untried.set(sequence, (this.#untried.get(sequence) ?? 0) + 1);
    if (this.#untried.size > mostUntried) this.#untried.delete(this.#untried.keys().next().value ?? sequence);
    delivery.nak(pauseMs);
  }

  #pauseOf({ is, about, retryAfterMs = 0 }: Verdict, delivery: Delivery): number {
    if (is === "busy") return this.#busyMs(delivery);
    const { firstRetryMs, longestRetryMs } = this.#options;
    const age = (Date.now() - about.at) * growth;
    return spreadOut(Math.min(longestRetryMs, Math.max(firstRetryMs, age, retryAfterMs)));
  }

  /** The longer, the more often there was no room. */
  #busyMs({ sequence }: Delivery): number {
    return spreadOut(busyMs * Math.min(mostBusy, 1 + (this.#untried.get(sequence) ?? 0)));
  }
}

function spreadOut(ms: number): number {
  return ms * (1 - spread + 2 * spread * Math.random());
}

/** `<prefix>.<tenant>.<configuration>`: all of it but the configuration. */
function tenantOf({ subject }: Delivery): string {
  return subject.slice(0, subject.lastIndexOf("."));
}

function idOf({ data }: Delivery): string {
  return decodeHeadAndBody<PushHead>(data).head.id;
}

/** What compliance reads of a delivery: who was told of which task, at which host, and what came of it. */
function actionOf({ is, about }: Verdict): Action {
  const { id, at, tenant, server, agent, task, config, host, tries, reason } = about;
  const isDone = is === "delivered";
  return {
    id: `push-${id}-${at.toString(36)}`,
    at: Date.now(),
    action: "push.deliver",
    result: isDone ? "done" : "failed",
    count: tries,
    target: `tasks/${task ?? ""}/pushNotificationConfigs/${config ?? ""} ${host ?? ""}`,
    ...(tenant !== undefined && { tenant }),
    ...(server !== undefined && { server }),
    ...(agent !== undefined && { subject: agent }),
    ...(!isDone && { fault: reason }),
  };
}
