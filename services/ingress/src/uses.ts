import type { Protocol } from "@sluice/contracts";
import type { Principal } from "./tenants.ts";

/** What somebody uses for longer: as who, by which protocol, and which server or agent. */
export interface Use {
  readonly principal: Principal;
  readonly protocol: Protocol;
  /** `allServers` for all of a tenant together. */
  readonly server: string;
}

interface Held extends Use {
  readonly end: () => void;
}

/** How long a use may outlive its credential. */
const sweepMs = 1_000;

/** The streams and waiting calls: each ends when it is allowed no more. Those that can end without anybody telling are looked at each second. */
export class Uses {
  readonly #allows: (use: Use) => boolean;
  readonly #lasting = new Set<Held>();
  readonly #perishable = new Set<Held>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(allows: (use: Use) => boolean) {
    this.#allows = allows;
  }

  /** Gives back what takes it off again. */
  add(use: Use, end: () => void): () => void {
    const held = { ...use, end };
    const { principal } = use;
    if (principal.expiresAtMs === undefined && principal.isPerishable !== true) {
      this.#lasting.add(held);
      return () => this.#lasting.delete(held);
    }
    this.#perishable.add(held);
    this.#sweep ??= setInterval(() => this.#check(this.#perishable), sweepMs).unref();
    return () => {
      this.#perishable.delete(held);
      if (this.#perishable.size > 0) return;
      clearInterval(this.#sweep);
      this.#sweep = undefined;
    };
  }

  /** Ends all that are allowed no more. */
  reconsider(): void {
    this.#check(this.#lasting);
    this.#check(this.#perishable);
  }

  #check(uses: ReadonlySet<Held>): void {
    for (const use of [...uses]) if (!this.#allows(use)) use.end();
  }
}
