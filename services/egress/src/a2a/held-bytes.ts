import { Fault } from "@sluice/contracts";

/** No agent's calls hold more than this part. */
const agentsPart = 0.5;

/** What one call holds; it is free again once that is disposed of. */
export interface Hold extends Disposable {
  /** @throws Fault `overloaded` where there is no room for more */
  add(bytes: number): void;
}

/** The bytes of large bodies that are held whole, bounded for all calls together, and for those of one agent. */
export class HeldBytes {
  readonly #most: number;
  #held = 0;
  readonly #byAgent = new Map<string, number>();

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  open(agent: string): Hold {
    let mine = 0;
    return {
      add: (bytes) => {
        const ofAgent = (this.#byAgent.get(agent) ?? 0) + bytes;
        if (ofAgent > this.#most * agentsPart || this.#held + bytes > this.#most)
          throw new Fault("overloaded", "too many large bodies are under way");
        mine += bytes;
        this.#held += bytes;
        this.#byAgent.set(agent, ofAgent);
      },
      [Symbol.dispose]: () => {
        this.#held -= mine;
        const left = (this.#byAgent.get(agent) ?? 0) - mine;
        if (left > 0) this.#byAgent.set(agent, left);
        else this.#byAgent.delete(agent);
        mine = 0;
      },
    };
  }
}
