import { Fault } from "@sluice/contracts";

/** What counts as small; of a larger body, its beginning. */
const smallBytes = 64 * 1024;
/** The part that is kept for small bodies. */
const smallShare = 1 / 8;
/** What one agent may have of a room, unless it is one body alone. */
const agentShare = 1 / 2;

/** Bounds what all requests together hold in memory; leaves room for small ones, and for other agents. */
export class BodyBudget {
  readonly #small: Room;
  readonly #large: Room;

  constructor(limit: number) {
    this.#small = new Room(limit * smallShare);
    this.#large = new Room(limit * (1 - smallShare));
  }

  /** What this agent takes of it. */
  of({ tenant, agent }: { readonly tenant: string; readonly agent: { readonly id: string } }): AgentBudget {
    const key = `${tenant}\0${agent.id}`;
    return { open: () => new Hold(key, [this.#small, this.#large]) };
  }
}

export interface AgentBudget {
  /** For one body or answer that is to be held. */
  open(): Hold;
}

/** The bytes that one body takes of the budget. */
export class Hold {
  readonly #agent: string;
  readonly #rooms: readonly [small: Room, large: Room];
  #small = 0;
  #large = 0;

  constructor(agent: string, rooms: readonly [Room, Room]) {
    this.#agent = agent;
    this.#rooms = rooms;
  }

  /** @throws Fault `overloaded` where there is no room; what was held stays. */
  resize(bytes: number): void {
    const [small, large] = this.#rooms;
    const wanted = Math.min(bytes, smallBytes);
    const fits = wanted < this.#small || (this.#large === 0 && small.has(this.#agent, this.#small, wanted));
    const beginning = fits ? wanted : this.#small;
    const rest = bytes - beginning;
    if (rest > this.#large && !large.has(this.#agent, this.#large, rest))
      throw new Fault("overloaded", "too many large requests are under way");
    small.set(this.#agent, this.#small, beginning);
    large.set(this.#agent, this.#large, rest);
    this.#small = beginning;
    this.#large = rest;
  }

  release(): void {
    this.resize(0);
  }
}

class Room {
  readonly #limit: number;
  readonly #byAgent = new Map<string, number>();
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether one body of this agent may have so much instead. */
  has(agent: string, before: number, after: number): boolean {
    const others = (this.#byAgent.get(agent) ?? 0) - before;
    return this.#held - before + after <= this.#limit && (others === 0 || others + after <= this.#limit * agentShare);
  }

  set(agent: string, before: number, after: number): void {
    if (before === after) return;
    const left = (this.#byAgent.get(agent) ?? 0) - before + after;
    if (left === 0) this.#byAgent.delete(agent);
    else this.#byAgent.set(agent, left);
    this.#held += after - before;
  }
}
