import { aliveEveryMs, deadAfterMs, decodeJson, encodeJson, subjects, type ServiceName } from "@sluice/contracts";
import type { Bus } from "./bus.ts";

const mostProblems = 50;
const longestProblem = 500;
const nothing = new Uint8Array();

/**
 * Tells every `aliveEveryMs` that this replica lives, and what operators have to mend in it, which must hold no secret.
 */
export function announce(bus: Bus, problems: () => readonly string[] = () => []): Disposable {
  const subject = subjects.alive(bus.service, bus.instance);
  const beat = () => {
    if (!bus.connected) return;
    const told = problems().slice(0, mostProblems);
    bus.tell(subject, told.length === 0 ? nothing : encodeJson(told.map((text) => text.slice(0, longestProblem))));
  };
  beat();
  const timer = setInterval(beat, aliveEveryMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Watches the replicas of one service. Nobody is called dead for what this process missed: cut off from the bus, or stalled. */
export class Presence implements Disposable {
  readonly #bus: Bus;
  readonly #lastHeard = new Map<string, number>();
  readonly #problems = new Map<string, Uint8Array>();
  readonly #timer: NodeJS.Timeout;
  readonly #off: () => void;
  #listeningSince = Date.now();
  #sweptAt = Date.now();

  constructor(bus: Bus, service: ServiceName, onDead: (instance: string) => void) {
    this.#bus = bus;
    bus.listen(subjects.aliveAll(service), (message) => {
      const instance = message.subject.slice(message.subject.lastIndexOf(".") + 1);
      this.#lastHeard.set(instance, Date.now());
      if (message.data.length > 0) this.#problems.set(instance, message.data);
      else this.#problems.delete(instance);
    });
    this.#off = bus.onReconnect(() => this.#forgive());
    this.#timer = setInterval(() => this.#sweep(onDead), aliveEveryMs).unref();
  }

  /** How many replicas live, as far as heard. */
  get count(): number {
    return this.#lastHeard.size;
  }

  /** What the replicas that live say is to be mended, each thing once. */
  get problems(): readonly string[] {
    return [...new Set([...this.#problems.values()].flatMap((data) => decodeJson<string[]>(data)))];
  }

  /** Whether every replica that lives must have been heard by now: `count` is no smaller than their number. */
  get settled(): boolean {
    return Date.now() - this.#listeningSince > deadAfterMs;
  }

  /** Whether it is not known that this replica is dead. */
  lives(instance: string): boolean {
    return this.#lastHeard.has(instance);
  }

  /** Starts the clock for a replica that was named by somebody else, so that it can be found dead without ever being heard. */
  expect(instance: string): void {
    if (!this.#lastHeard.has(instance)) this.#lastHeard.set(instance, Date.now());
  }

  /** Time in which this process could hear nobody counts against nobody; without a length all time so far. */
  #forgive(ms = Number.POSITIVE_INFINITY): void {
    const now = Date.now();
    const later = (at: number) => Math.min(now, at + ms);
    this.#listeningSince = later(this.#listeningSince);
    for (const [instance, heard] of this.#lastHeard) this.#lastHeard.set(instance, later(heard));
  }

  #sweep(onDead: (instance: string) => void): void {
    const now = Date.now();
    const lateMs = now - this.#sweptAt - aliveEveryMs;
    this.#sweptAt = now;
    if (lateMs > aliveEveryMs) this.#forgive(lateMs);
    if (!this.#bus.connected) return;
    for (const [instance, heard] of this.#lastHeard) {
      if (now - heard <= deadAfterMs) continue;
      this.#lastHeard.delete(instance);
      this.#problems.delete(instance);
      onDead(instance);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#off();
  }
}
