import type { Delivery } from "@sluice/bus";

/** Deliveries of one configuration in hand: what comes beyond them is sent away. */
const laneDeliveries = 3;

interface Away {
  readonly sequence: number;
  dueAt: number;
}

type Placed = Pick<Delivery, "sequence">;

const leastMs = 20;
/** How long a try takes, as long as none is known. */
const guessedMs = 10;
const mostMs = 16_000;
const betweenMs = 2;
/** What is not back by then is in another replica's hands. */
const graceMs = 5_000;

/** What is told of one configuration, in its order: what is in hand, and what was sent away for want of room and comes again. */
export class Lane {
  readonly held: Delivery[] = [];
  /** In the order of the stream. */
  readonly #away: Away[] = [];
  #tookMs = guessedMs;
  #since: number | undefined;

  /** Nothing is in hand or to come back. */
  isOver(now: number): boolean {
    while (now > (this.#away[0]?.dueAt ?? now) + graceMs) this.#away.shift();
    return this.held.length === 0 && this.#away.length === 0;
  }

  /** There is room, and what was sent away before it is back. */
  admits({ sequence }: Placed, now: number): boolean {
    if (this.isOver(now)) return true;
    const first = this.#away[0];
    return this.held.length < laneDeliveries && (first === undefined || sequence <= first.sequence);
  }

  add(delivery: Delivery): void {
    if (this.#away[0]?.sequence === delivery.sequence) this.#away.shift();
    this.held.push(delivery);
  }

  /** The first one is tried from now on, and until then; that is how long others may have to wait. */
  tries(now: number): void {
    this.#since = now;
  }

  tried(now: number): void {
    this.#tookMs = now - (this.#since ?? now);
    this.#since = undefined;
  }

  /** Keeps the place of what is sent away, and says for how many milliseconds. */
  sendAway({ sequence }: Placed, { now, atLeastMs = leastMs }: { now: number; atLeastMs?: number }): number {
    const isLast = sequence > (this.#away.at(-1)?.sequence ?? -1);
    const place = isLast ? this.#away.length : this.#away.findIndex((other) => other.sequence >= sequence);
    const eachMs = Math.max(this.#tookMs, now - (this.#since ?? now));
    const pauseMs = Math.max(atLeastMs, Math.min(mostMs, (this.held.length + place) * eachMs));
    const dueAt = Math.max(now + pauseMs, (this.#away[place - 1]?.dueAt ?? 0) + betweenMs);
    const known = this.#away[place];
    if (known?.sequence === sequence) known.dueAt = dueAt;
    else this.#away.splice(place, 0, { sequence, dueAt });
    return dueAt - now;
  }
}
