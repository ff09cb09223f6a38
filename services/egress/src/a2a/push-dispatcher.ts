import { store, WorkQueue, type AuditLog, type Bus, type Delivery } from "@sluice/bus";
import { decodeHeadAndBody, encodeJson, streams, subjects, type Action, type PushHead } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";
import type { Deliverer, Verdict } from "./push-delivery.ts";

export interface DispatcherOptions {
  readonly bus: Bus;
  readonly log: Log;
  readonly deliverer: Deliverer;
  readonly actions: Pick<AuditLog<Action>, "add">;
  readonly counted: (outcome: Verdict["is"]) => void;
  readonly ackWaitMs: number;
  /** How many this replica has in hand at once. */
  readonly mostHeld: number;
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
const spread = 0.25;

/**
 * Takes what agents told to clients: at least once, those of one configuration one after the other as long as nothing fails.
 * All replicas share one durable consumer; what one that died had in hand comes to another.
 */
export class PushDispatcher implements AsyncDisposable {
  readonly #options: DispatcherOptions;
  readonly #queue: WorkQueue;
  /** By configuration, in the order of arrival. */
  readonly #lanes = new Map<string, Delivery[]>();
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

  #take(delivery: Delivery): void {
    const id = idOf(delivery);
    this.#held.add(delivery);
    const lane = this.#lanes.get(id);
    if (lane !== undefined) return void lane.push(delivery);
    const fresh = [delivery];
    this.#lanes.set(id, fresh);
    const running = this.#run(id, fresh).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #run(id: string, lane: Delivery[]): Promise<void> {
    for (let first = lane[0]; first !== undefined; first = lane[0]) {
      const verdict = this.#stopping ? undefined : await this.#carry(first);
      if (verdict === undefined || verdict.is === "again" || verdict.is === "busy") {
        const pauseMs = verdict === undefined ? 0 : this.#pauseOf(verdict);
        for (const [place, one] of lane.splice(0).entries())
          this.#letGo(one, () => one.nak(pauseMs + place * betweenMs));
      } else {
        lane.shift();
        this.#letGo(first, () => first.ack());
      }
    }
    this.#lanes.delete(id);
  }

  /** What is told of it is kept before it is let go of. */
  async #carry(delivery: Delivery): Promise<Verdict | undefined> {
    const { log, bus, deliverer, actions, counted } = this.#options;
    try {
      const verdict = await deliverer.deliver(delivery);
      const { is, about } = verdict;
      counted(is);
      if (is === "dead") {
        await store(bus, { subject: subjects.pushDead, payload: encodeJson(about) }, storeTimeoutMs);
        log.error({ ...about }, "a push notification cannot be delivered");
      } else if (is === "again") log.warn({ ...about }, "a push notification was not taken: it is tried again");
      if (is === "dead" || is === "delivered") actions.add(actionOf(verdict));
      return verdict;
    } catch (error) {
      log.error({ error: describeError(error) }, "a push notification waits");
      return { is: "busy", about: { id: "", at: Date.now(), reason: "", tries: 0, bytes: 0 } };
    }
  }

  #letGo(delivery: Delivery, say: () => void): void {
    this.#held.delete(delivery);
    say();
  }

  #pauseOf({ is, about, retryAfterMs = 0 }: Verdict): number {
    const { firstRetryMs, longestRetryMs } = this.#options;
    const age = (Date.now() - about.at) * growth;
    const pauseMs = is === "busy" ? busyMs : Math.min(longestRetryMs, Math.max(firstRetryMs, age, retryAfterMs));
    return pauseMs * (1 - spread + 2 * spread * Math.random());
  }
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
