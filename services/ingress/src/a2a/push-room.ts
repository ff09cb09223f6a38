import { countMessages, type Bus } from "@sluice/bus";
import { Fault, streams, subjects } from "@sluice/contracts";

const askTimeoutMs = 2_000;
/** For so long a count is taken for true, but for what this replica has added. */
const countLifeMs = 1_000;
/** Configurations whose pace is remembered. */
const mostPaces = 10_000;
const msPerMinute = 60_000;

/** What is left after a burst: this part of a minute's notifications. */
const burstShare = 1 / 4;

interface Pace {
  left: number;
  at: number;
}

interface Count {
  known: Promise<number>;
  added: number;
  at: number;
}

/** Keeps one agent from filling what waits for everybody: each configuration has a pace, each tenant a share of the stream. */
export class PushRoom {
  readonly #bus: Bus;
  readonly #perMinute: number;
  readonly #perTenant: number;
  readonly #paces = new Map<string, Pace>();
  readonly #counts = new Map<string, Count>();

  constructor(bus: Bus, { perMinute, perTenant }: { perMinute: number; perTenant: number }) {
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
  async requireShare(tenant: string, now = Date.now()): Promise<void> {
    let count = this.#counts.get(tenant);
    if (count === undefined || now - count.at > countLifeMs) {
      const of = { stream: streams.push.name, subjects: subjects.pushesOf(tenant) };
      const known = countMessages(this.#bus, of, askTimeoutMs);
      count = { known, added: 0, at: now };
      this.#counts.set(tenant, count);
      known.catch(() => this.#counts.delete(tenant));
    }
    if ((await count.known) + count.added >= this.#perTenant) throw tooMany(5);
    count.added++;
    for (const [other, { at }] of this.#counts) {
      if (now - at <= countLifeMs) break;
      if (other !== tenant) this.#counts.delete(other);
    }
  }
}

/** Too much of one agent's waits, or comes. */
export function tooMany(retryAfterSeconds: number): Fault {
  return new Fault("agent_rate_limited", "too many push notifications", { details: { retryAfterSeconds } });
}
