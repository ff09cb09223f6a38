import { aliveEveryMs, deadAfterMs, subjects, type ServiceName } from "@sluice/contracts";
import type { Bus } from "./bus.ts";

/** Tells every `aliveEveryMs` that this replica lives. */
export function announce(bus: Bus): Disposable {
  const subject = subjects.alive(bus.service, bus.instance);
  const beat = () => {
    if (bus.connected) bus.tell(subject, new Uint8Array());
  };
  beat();
  const timer = setInterval(beat, aliveEveryMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Watches the replicas of one service. While this process is cut off from the bus, nobody is called dead. */
export class Presence implements Disposable {
  readonly #bus: Bus;
  readonly #lastHeard = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #off: () => void;
  #listeningSince = Date.now();

  constructor(bus: Bus, service: ServiceName, onDead: (instance: string) => void) {
    this.#bus = bus;
    bus.listen(subjects.aliveAll(service), (message) => {
      this.#lastHeard.set(message.subject.slice(message.subject.lastIndexOf(".") + 1), Date.now());
    });
    this.#off = bus.onReconnect(() => this.#forgive());
    this.#timer = setInterval(() => this.#sweep(onDead), aliveEveryMs).unref();
  }

  /** How many replicas live, as far as heard. */
  get count(): number {
    return this.#lastHeard.size;
  }

  /** Whether every replica that lives must have been heard by now: `count` is no smaller than their number. */
  get settled(): boolean {
    return Date.now() - this.#listeningSince > deadAfterMs;
  }

  /** Starts the clock for a replica that was named by somebody else, so that it can be found dead without ever being heard. */
  expect(instance: string): void {
    if (!this.#lastHeard.has(instance)) this.#lastHeard.set(instance, Date.now());
  }

  #forgive(): void {
    this.#listeningSince = Date.now();
    for (const instance of this.#lastHeard.keys()) this.#lastHeard.set(instance, Date.now());
  }

  #sweep(onDead: (instance: string) => void): void {
    if (!this.#bus.connected) return;
    const now = Date.now();
    for (const [instance, heard] of this.#lastHeard) {
      if (now - heard <= deadAfterMs) continue;
      this.#lastHeard.delete(instance);
      onDead(instance);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#off();
  }
}
