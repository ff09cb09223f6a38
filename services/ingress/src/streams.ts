import { Presence, type Bus, type Incoming } from "@sluice/bus";
import { decodeJson, encodeJson, subjects, type OwnVerb, type OwnWord } from "@sluice/contracts";
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
  /** By stream. */
  readonly #relays = new Map<string, Set<SseRelay>>();
  readonly #foreign = new Map<string, { unsubscribe(): void }>();
  readonly #dependents = new Set<Dependent>();
  readonly #whenEgressDies: ((instance: string) => void)[] = [];
  readonly #presence: Presence;
  readonly #timer: NodeJS.Timeout;
  #nextStream = 0;

  constructor(bus: Bus, keepAliveMs: number) {
    this.#bus = bus;
    bus.listen(subjects.streamsOf(bus.instance), (message) => this.#deliver(message));
    bus.listen(subjects.ownIngress(bus.instance, "replaced"), (message) => this.#replaced(message));
    this.#presence = new Presence(bus, "egress", (instance) => this.#egressDied(instance));
    bus.onReconnect(() => this.#catchUp());
    this.#timer = setInterval(() => this.#keepAlive(), keepAliveMs);
  }

  /** A name for a call's reply stream and for who reads it; unique over all replicas. */
  nextName(): string {
    return `${this.#bus.instance}.${(this.#nextStream++).toString(36)}`;
  }

  get size(): number {
    let size = 0;
    for (const relays of this.#relays.values()) size += relays.size;
    return size;
  }

  /** Brings a stream's frames to this relay from now on, and, where it names its reader, to no other of this replica. */
  add(relay: SseRelay): void {
    const { stream, tenant, reader } = relay;
    const relays = this.#relays.get(stream) ?? new Set();
    if (reader !== undefined) {
      for (const other of relays) other.replace();
      relays.clear();
    }
    this.#relays.set(stream, relays.add(relay));
    if (stream.startsWith(`${this.#bus.instance}.`) || this.#foreign.has(stream)) return;
    this.#foreign.set(
      stream,
      this.#bus.listen(subjects.stream(tenant, stream), (message) => this.#deliver(message)),
    );
  }

  remove(relay: SseRelay): void {
    const relays = this.#relays.get(relay.stream);
    if (relays?.delete(relay) !== true || relays.size > 0) return;
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

  whenEgressDies(listener: (instance: string) => void): void {
    this.#whenEgressDies.push(listener);
  }

  /** Of this replica it is found out when it dies, also where it was never heard. */
  expectEgress(instance: string): void {
    this.#presence.expect(instance);
  }

  /** Says a word to the egress replica that owns a call or stream; nobody may be listening any more. */
  tellOwner(verb: OwnVerb, word: OwnWord): void {
    if (this.#bus.connected) this.#bus.tell(subjects.own(verb), encodeJson(word));
  }

  /** Ends the event streams of this replica: their clients come back to another one with the id of their last event. */
  endAll(): void {
    for (const relay of this.#all()) relay.hangUp();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#presence[Symbol.dispose]();
  }

  #deliver(message: Incoming): void {
    const [instance, number] = message.subject.split(".").slice(-2);
    for (const relay of this.#relays.get(`${instance}.${number}`) ?? []) relay.heard(message.data);
  }

  /** Another replica reads the stream now. */
  #replaced({ data }: Incoming): void {
    const { stream = "", reader } = decodeJson<OwnWord>(data);
    if (reader === undefined) return;
    for (const relay of this.#relays.get(stream) ?? []) if (relay.reader === reader) relay.replace();
  }

  #egressDied(instance: string): void {
    for (const dependent of [...this.#dependents]) if (dependent.egress === instance) dependent.egressDied();
    for (const listener of this.#whenEgressDies) listener(instance);
  }

  #catchUp(): void {
    for (const relay of this.#all()) void relay.replay();
  }

  #keepAlive(): void {
    for (const relay of this.#all()) relay.keepAlive();
  }

  *#all(): Iterable<SseRelay> {
    for (const relays of this.#relays.values()) yield* relays;
  }
}
