import { countBySubject, type Bus } from "@sluice/bus";
import { Fault, streams, subjects } from "@sluice/contracts";

const askTimeoutMs = 2_000;
/** For so long a count is taken for true, but for what this replica has added. */
const countLifeMs = 1_000;
/** Configurations whose pace is remembered, and whose largest notification. */
const mostPaces = 10_000;
/** What a notification is taken to have where nothing of its configuration was seen here. */
const guessedBytes = 16 * 1024;
const msPerMinute = 60_000;

/** What is left after a burst: this part of a minute's notifications. */
const burstShare = 1 / 4;

interface Pace {
  left: number;
  at: number;
}

/** What waits, or comes to it. */
interface Load {
  readonly messages: number;
  readonly bytes: number;
}

interface Count {
  readonly known: Promise<Load>;
  added: Load;
  readonly at: number;
}

interface PushSize {
  readonly subject: string;
  readonly bytes: number;
}

interface RoomOptions {
  /** Of one configuration. */
  readonly perMinute: number;
  readonly perTenant: Load;
}

/** Keeps one agent from filling what waits for everybody: each configuration has a pace, each tenant a share of the stream. */
export class PushRoom {
  readonly #bus: Bus;
  readonly #perMinute: number;
  readonly #perTenant: Load;
  readonly #paces = new Map<string, Pace>();
  readonly #counts = new Map<string, Count>();
  /** The most bytes that a notification had, by its subject: a stream counts messages alone. */
  readonly #largest = new Map<string, number>();

  constructor(bus: Bus, { perMinute, perTenant }: RoomOptions) {
    this.#bus = bus;
    this.#perMinute = perMinute;
    this.#perTenant = perTenant;
  }

  /** @throws Fault `agent_rate_limited` where the agent tells too much about one task */
  requirePace(id: string, now = Date.now()): void {
    const most = Math.max(1, this.#perMinute * burstShare);
    const pace = this.#paces.get(id) ?? { left: most, at: now };
    const left = Math.min(most, pace.left + ((now - pace.at) * this.#perMinute) / msPerMinute);
    this.#paces.delete(id);
    this.#paces.set(id, { left: left < 1 ? left : left - 1, at: now });
    if (this.#paces.size > mostPaces) this.#paces.delete(this.#paces.keys().next().value ?? id);
    if (left < 1) throw tooMany(Math.ceil((1 - left) / (this.#perMinute / 60)));
  }

  /** @throws Fault `agent_rate_limited` where too much waits for the tenant's clients already */
  async requireShare(tenant: string, { subject, bytes }: PushSize, now = Date.now()): Promise<void> {
    this.#note(subject, bytes);
    let count = this.#counts.get(tenant);
    if (count === undefined || now - count.at > countLifeMs) {
      count = { known: this.#waiting(tenant), added: { messages: 0, bytes: 0 }, at: now };
      this.#counts.set(tenant, count);
      count.known.catch(() => this.#counts.delete(tenant));
    }
    const known = await count.known;
    const { added } = count;
    const after = { messages: known.messages + added.messages + 1, bytes: known.bytes + added.bytes + bytes };
    if (after.messages > this.#perTenant.messages || after.bytes > this.#perTenant.bytes) throw tooMany(5);
    count.added = { messages: added.messages + 1, bytes: added.bytes + bytes };
    for (const [other, { at }] of this.#counts) {
      if (now - at <= countLifeMs) break;
      if (other !== tenant) this.#counts.delete(other);
    }
  }

  async #waiting(tenant: string): Promise<Load> {
    const of = { stream: streams.push.name, subjects: subjects.pushesOf(tenant) };
    let [messages, bytes] = [0, 0];
    for (const [subject, count] of await countBySubject(this.#bus, of, askTimeoutMs)) {
      messages += count;
      bytes += count * (this.#largest.get(subject) ?? guessedBytes);
    }
    return { messages, bytes };
  }

  #note(subject: string, bytes: number): void {
    const largest = Math.max(bytes, this.#largest.get(subject) ?? 0);
    this.#largest.delete(subject);
    this.#largest.set(subject, largest);
    if (this.#largest.size > mostPaces) this.#largest.delete(this.#largest.keys().next().value ?? subject);
  }
}

/** Too much of one agent's waits, or comes. */
export function tooMany(retryAfterSeconds: number): Fault {
  return new Fault("agent_rate_limited", "too many push notifications", { details: { retryAfterSeconds } });
}
