import type { Bus } from "@sluice/bus";
import { encodeJson, subjects, type OwnWord } from "@sluice/contracts";
import { changedKind, type ListKind, listKinds } from "./names.ts";
import type { Sink } from "./peer.ts";

/** A server of a tenant. */
export interface Place {
  readonly tenant: string;
  readonly server: string;
}

type Heed = (method: string) => void;

/** Brings the word that a list has changed to every replica, whatever session it was said on. */
export class Changes {
  readonly #bus: Bus;
  readonly #onChange: (place: Place, lists: ListKind[]) => void;
  readonly #watchers = new Map<string, Set<Heed>>();

  constructor(bus: Bus, onChange: (place: Place, lists: ListKind[]) => void) {
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

  /** The same sink; what passes it about changes is told to everybody. */
  through(place: Place, sink: Sink): Sink {
    return {
      signal: sink.signal,
      ask: (request) => sink.ask(request),
      notify: (notice) => {
        this.say(place, notice.method);
        sink.notify(notice);
      },
    };
  }

  /** An upstream said so; anything but a change is passed over. */
  say(place: Place, method: string): void {
    if (changedKind(method) === undefined) return;
    this.#heard(place, method);
    const word: OwnWord = { changed: { ...place, method, by: this.#bus.instance } };
    if (this.#bus.connected) this.#bus.tell(subjects.own("refresh"), encodeJson(word));
  }

  /** Another replica said so. */
  heed({ by, method, ...place }: NonNullable<OwnWord["changed"]>): void {
    if (by !== this.#bus.instance) this.#heard(place, method);
  }

  #heard(place: Place, method: string): void {
    const kind = changedKind(method);
    if (kind === undefined) return;
    const lists = (Object.keys(listKinds) as ListKind[]).filter((list) => listKinds[list].capability === kind);
    this.#onChange(place, lists);
    for (const heed of this.#watchers.get(keyOf(place)) ?? []) heed(method);
  }
}

function keyOf({ tenant, server }: Place): string {
  return `${tenant}\0${server}`;
}

/** Between a change and the word about it: other servers may say the same. */
const gatherMs = 50;

/** Tells each kind of change once, however many say it within a moment. */
export class Gathered {
  readonly #say: Heed;
  readonly #due = new Map<string, NodeJS.Timeout>();

  constructor(say: Heed) {
    this.#say = say;
  }

  add(method: string): void {
    if (this.#due.has(method)) return;
    const say = () => {
      this.#due.delete(method);
      this.#say(method);
    };
    this.#due.set(method, setTimeout(say, gatherMs));
  }

  close(): void {
    for (const timer of this.#due.values()) clearTimeout(timer);
    this.#due.clear();
  }
}
