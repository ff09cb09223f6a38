import { Presence, type Bus } from "@sluice/bus";
import { deadAfterMs } from "@sluice/contracts";

/** Who tells of calls. */
const services = ["ingress", "egress"] as const;

/** Which emitters are gone. None is, before this process could have heard it for so long; what a loss of the bus hid does not count. */
export class Emitters implements Disposable {
  readonly #goneAfterMs: number;
  readonly #presences: readonly Presence[];
  /** Since when none of the services has it any more. */
  readonly #dead = new Map<string, number>();
  readonly #off: () => void;

  /** @param goneAfterMs no shorter than `deadAfterMs` */
  constructor(bus: Bus, goneAfterMs: number) {
    this.#goneAfterMs = goneAfterMs;
    this.#presences = services.map((service) => new Presence(bus, service, (instance) => this.#died(instance)));
    this.#off = bus.onReconnect(() => this.#dead.clear());
  }

  isGone(instance: string): boolean {
    if (this.#lives(instance)) return false;
    const since = this.#dead.get(instance);
    if (since === undefined) this.#presences[0]?.expect(instance);
    return since !== undefined && Date.now() - since > this.#goneAfterMs - deadAfterMs;
  }

  #lives(instance: string): boolean {
    return this.#presences.some((presence) => presence.lives(instance));
  }

  #died(instance: string): void {
    if (!this.#lives(instance)) this.#dead.set(instance, Date.now());
  }

  [Symbol.dispose](): void {
    this.#off();
    for (const presence of this.#presences) presence[Symbol.dispose]();
  }
}
