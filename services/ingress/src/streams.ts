import { Presence, type Bus, type Incoming } from "@sluice/bus";
import { encodeJson, subjects, type OwnVerb, type OwnWord } from "@sluice/contracts";
import type { SseRelay } from "./sse-relay.ts";

/** Something that waits for an egress replica and must not wait for a dead one. */
export interface Dependent {
  /** The replica it waits for, once known. */
  readonly egress: string | undefined;
  egressDied(): void;
}

/** Brings frames to the relays that wait for them, and notices when the egress behind them dies. */
export class Streams implements Disposable {
  readonly #bus: Bus;
  readonly #relays = new Map<string, Set<SseRelay>>();
  readonly #foreign = new Map<string, { unsubscribe(): void }>();
  readonly #dependents = new Set<Dependent>();
  readonly #presence: Presence;
  readonly #timer: NodeJS.Timeout;
  #nextStream = 0;

  constructor(bus: Bus, keepAliveMs: number) {
    this.#bus = bus;
    bus.listen(subjects.streamsOf(bus.instance), (message) => this.#deliver(message));
    this.#presence = new Presence(bus, "egress", (instance) => this.#egressDied(instance));
    bus.onReconnect(() => this.#catchUp());
    this.#timer = setInterval(() => this.#keepAlive(), keepAliveMs);
  }

  /** A name for a call and, with a dot, for its reply stream; unique over all replicas. */
  nextNumber(): string {
    return (this.#nextStream++).toString(36);
  }

  get size(): number {
    return this.#relays.size;
  }

  add(relay: SseRelay): void {
    const { stream } = relay;
    const relays = this.#relays.get(stream) ?? new Set();
    this.#relays.set(stream, relays.add(relay));
    if (stream.startsWith(`${this.#bus.instance}.`) || this.#foreign.has(stream)) return;
    this.#foreign.set(
      stream,
      this.#bus.listen(subjects.stream(stream), (message) => this.#deliver(message)),
    );
  }

  remove(relay: SseRelay): void {
    const relays = this.#relays.get(relay.stream);
    relays?.delete(relay);
    if (relays === undefined || relays.size > 0) return;
    this.#relays.delete(relay.stream);
    this.#foreign.get(relay.stream)?.unsubscribe();
    this.#foreign.delete(relay.stream);
  }

  depend(dependent: Dependent): void {
    this.#dependents.add(dependent);
    if (dependent.egress !== undefined) this.#presence.expect(dependent.egress);
  }

  release(dependent: Dependent): void {
    this.#dependents.delete(dependent);
  }

  /** Says a word to the egress replica that owns a call or stream; nobody may be listening any more. */
  tellOwner(verb: OwnVerb, word: OwnWord): void {
    if (this.#bus.connected) this.#bus.tell(subjects.own(verb), encodeJson(word));
  }

  /** As `tellOwner`, and waits a moment for the owner's word that it heeded. */
  async askOwner(verb: OwnVerb, word: OwnWord, timeoutMs: number): Promise<void> {
    await this.#bus.ask(subjects.own(verb), encodeJson(word), { timeoutMs }).catch(() => {});
  }

  /** Ends the event streams of this replica: their clients come back to another one with the id of their last event. */
  endAll(): void {
    for (const relays of this.#relays.values()) for (const relay of relays) relay.hangUp();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#presence[Symbol.dispose]();
  }

  #deliver(message: Incoming): void {
    const stream = message.subject.slice(subjects.stream("").length);
    for (const relay of this.#relays.get(stream) ?? []) relay.heard(message.data);
  }

  #egressDied(instance: string): void {
    for (const dependent of [...this.#dependents]) if (dependent.egress === instance) dependent.egressDied();
  }

  #catchUp(): void {
    for (const relays of this.#relays.values()) for (const relay of relays) void relay.replay();
  }

  #keepAlive(): void {
    for (const relays of this.#relays.values()) for (const relay of relays) relay.keepAlive();
  }
}
