import type { Bus } from "@sluice/bus";
import { encodeJson, subjects, type OwnWord } from "@sluice/contracts";
import { changedKind, type ListKind, listKinds } from "./names.ts";
import type { Sink } from "./peer.ts";
import type { Request } from "./rpc.ts";

/** A server of a tenant. */
export interface Place {
  readonly tenant: string;
  readonly server: string;
}

type Heed = (method: string) => void;

/** Brings the word that a list has changed to every replica, whatever session it was said on; a storm of them once in a while. */
export class Changes implements Disposable {
  readonly #bus: Pick<Bus, "instance" | "connected" | "tell">;
  readonly #onChange: (place: Place, lists: ListKind[]) => void;
  readonly #watchers = new Map<string, Set<Heed>>();
  /** What is yet to be told, by place. */
  readonly #due = new Map<string, Gathered>();

  constructor(bus: Pick<Bus, "instance" | "connected" | "tell">, onChange: (place: Place, lists: ListKind[]) => void) {
    this.#bus = bus;
    this.#onChange = onChange;
  }

  /** Calls back until told to stop. */
  watch(place: Place, heed: Heed): () => void {
    const key = keyOf(place);
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(heed));
    return () => {
      watchers.delete(heed);
      if (watchers.size === 0) this.#watchers.delete(key);
    };
  }

  /**
   * For one who hears a server himself: what he hears is told to everybody, and what others hear is told to him, but for
   * the echo of what he heard. `off` ends it.
   */
  listen(place: Place, sink: Sink): { told: Sink; off: () => void } {
    const heardAt = new Map<string, number>();
    const told = this.through(
      place,
      overheard(sink, ({ method }) => {
        if (changedKind(method) !== undefined) heardAt.set(method, performance.now());
      }),
    );
    const off = this.watch(place, (method) => {
      if (performance.now() - (heardAt.get(method) ?? -Infinity) > echoMs) sink.notify({ method });
    });
    return { told, off };
  }

  /** The same sink; what passes it about changes is told to everybody. */
  through(place: Place, sink: Sink): Sink {
    return overheard(sink, ({ method }) => this.say(place, method));
  }

  /** An upstream said so; anything but a change is passed over. What is kept of the list goes at once. */
  say(place: Place, method: string): void {
    if (changedKind(method) === undefined) return;
    this.#drop(place, method);
    const key = keyOf(place);
    const due = this.#due.get(key) ?? new Gathered((one) => this.#tell(place, one));
    this.#due.set(key, due);
    due.add(method);
  }

  /** Another replica said so. */
  heed({ by, method, ...place }: NonNullable<OwnWord["changed"]>): void {
    if (by === this.#bus.instance || changedKind(method) === undefined) return;
    this.#drop(place, method);
    this.#heard(place, method);
  }

  [Symbol.dispose](): void {
    for (const due of this.#due.values()) due.close();
    this.#due.clear();
  }

  #tell(place: Place, method: string): void {
    const key = keyOf(place);
    if (this.#due.get(key)?.isEmpty === true) this.#due.delete(key);
    this.#heard(place, method);
    const word: OwnWord = { changed: { ...place, method, by: this.#bus.instance } };
    if (this.#bus.connected) this.#bus.tell(subjects.own("refresh"), encodeJson(word));
  }

  #drop(place: Place, method: string): void {
    const kind = changedKind(method);
    const lists = (Object.keys(listKinds) as ListKind[]).filter((list) => listKinds[list].capability === kind);
    this.#onChange(place, lists);
  }

  #heard(place: Place, method: string): void {
    for (const heed of this.#watchers.get(keyOf(place)) ?? []) heed(method);
  }
}

/** The same sink, where somebody hears what is said before it does. */
function overheard(sink: Sink, hear: (notice: Request) => void): Sink {
  return {
    signal: sink.signal,
    ask: (request) => sink.ask(request),
    room: async () => await sink.room?.(),
    notify: (notice) => {
      hear(notice);
      sink.notify(notice);
    },
  };
}

function keyOf({ tenant, server }: Place): string {
  return `${tenant}\0${server}`;
}

/** For so long after a change others may still say the same. */
const echoMs = 2_000;

/** Between a change and the word about it: other servers may say the same. */
const stormMs = 50;

/** Tells each kind of change once, however many say it within a moment. */
export class Gathered {
  readonly #say: Heed;
  readonly #due = new Map<string, NodeJS.Timeout>();

  constructor(say: Heed) {
    this.#say = say;
  }

  get isEmpty(): boolean {
    return this.#due.size === 0;
  }

  add(method: string): void {
    if (this.#due.has(method)) return;
    const say = () => {
      this.#due.delete(method);
      this.#say(method);
    };
    this.#due.set(method, setTimeout(say, stormMs).unref());
  }

  close(): void {
    for (const timer of this.#due.values()) clearTimeout(timer);
    this.#due.clear();
  }
}
