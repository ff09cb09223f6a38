import { Fault } from "@sluice/contracts";

export interface Closable {
  /** Whether the other side has ended it. */
  readonly isOver?: boolean;
  close(): Promise<void>;
}

/** Whose sessions with which upstream: of these there are only so many. */
export interface Wish {
  readonly place: string;
  /** Sessions with the same key are as good as each other. */
  readonly key: string;
}

export interface Taken<Session> {
  readonly session: Session;
  /** It may be of use to others. */
  release(): void;
  /** It is of no more use to anybody. */
  discard(): void;
}

export interface SessionPoolOptions {
  /** Sessions of one place. */
  readonly most: number;
  /** Of these, how many that nobody uses. */
  readonly mostIdle: number;
  readonly idleMs: number;
}

/** A timer takes no more. */
const mostMs = 2 ** 31 - 1;

interface Held<Session> {
  readonly key: string;
  readonly opening: Promise<Session>;
  users: number;
  isClosed: boolean;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Open sessions, kept for a while for whoever needs one next. Each place has a bounded number: the one unused for longest
 * makes room for one more, and where all are in use there is none.
 */
export class SessionPool<Session extends Closable> implements AsyncDisposable {
  readonly #options: SessionPoolOptions;
  /** Those used last stand last. */
  readonly #places = new Map<string, Set<Held<Session>>>();
  #isOver = false;

  constructor(options: SessionPoolOptions) {
    this.#options = options;
  }

  /**
   * A session that is open already, one that nobody uses unless it can be shared, or a new one.
   * @throws Fault `overloaded` where there is no room for one.
   */
  async take(
    wish: Wish,
    { open, isShared }: { open: () => Promise<Session>; isShared: boolean },
  ): Promise<Taken<Session>> {
    for (;;) {
      const known = this.#find(wish, (held) => isShared || held.users === 0);
      const taken = await this.#use(wish.place, known ?? this.#add(wish, open));
      if (taken.session.isOver !== true) return taken;
      taken.discard();
    }
  }

  /** The session of this key, where one is open. */
  async find(wish: Wish): Promise<Taken<Session> | undefined> {
    const held = this.#find(wish, () => true);
    if (held === undefined) return undefined;
    const taken = await this.#use(wish.place, held);
    if (taken.session.isOver !== true) return taken;
    taken.discard();
    return undefined;
  }

  /** Takes over a session that is open already. @throws Fault `overloaded` where there is no room; then it is closed. */
  async adopt(wish: Wish, session: Session): Promise<Taken<Session>> {
    try {
      return await this.#use(
        wish.place,
        this.#add(wish, () => Promise.resolve(session)),
      );
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Closes all sessions of this key, whoever uses them. */
  async dropAll(key: string): Promise<void> {
    await this.#closeAll((held) => held.key === key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#closeAll(() => true);
  }

  async #closeAll(which: (held: Held<Session>) => boolean): Promise<void> {
    const all = [...this.#places].flatMap(([place, helds]) =>
      [...helds].filter(which).map((held) => this.#close(place, held)),
    );
    await Promise.all(all);
  }

  #find({ place, key }: Wish, suits: (held: Held<Session>) => boolean): Held<Session> | undefined {
    return [...(this.#places.get(place) ?? [])].findLast((held) => held.key === key && suits(held));
  }

  #add({ place, key }: Wish, open: () => Promise<Session>): Held<Session> {
    const all = this.#places.get(place) ?? new Set();
    if (all.size >= this.#options.most) {
      const unused = [...all].find(({ users }) => users === 0);
      if (unused === undefined)
        throw new Fault("overloaded", "the agent uses all the sessions with this server that one agent may have");
      void this.#close(place, unused);
    }
    const held: Held<Session> = { key, opening: open(), users: 0, isClosed: false, timer: undefined };
    this.#places.set(place, all.add(held));
    return held;
  }

  async #use(place: string, held: Held<Session>): Promise<Taken<Session>> {
    held.users++;
    clearTimeout(held.timer);
    let isBack = false;
    const giveBack = (isUsable: boolean) => {
      if (isBack) return;
      isBack = true;
      held.users--;
      if (!isUsable) this.#forget(place, held);
      if (held.users === 0) this.#rest(place, held);
    };
    try {
      const session = await held.opening;
      return { session, release: () => giveBack(true), discard: () => giveBack(false) };
    } catch (error) {
      giveBack(false);
      throw error;
    }
  }

  /** Nobody uses it now. */
  #rest(place: string, held: Held<Session>): void {
    const all = this.#places.get(place);
    if (all?.delete(held) !== true || this.#isOver) return void this.#close(place, held);
    all.add(held);
    held.timer = setTimeout(() => void this.#close(place, held), Math.min(mostMs, this.#options.idleMs)).unref();
    const unused = [...all].filter(({ users }) => users === 0);
    for (const one of unused.slice(0, Math.max(0, unused.length - this.#options.mostIdle)))
      void this.#close(place, one);
  }

  #forget(place: string, held: Held<Session>): void {
    const all = this.#places.get(place);
    all?.delete(held);
    if (all?.size === 0) this.#places.delete(place);
  }

  async #close(place: string, held: Held<Session>): Promise<void> {
    this.#forget(place, held);
    clearTimeout(held.timer);
    if (held.isClosed) return;
    held.isClosed = true;
    const session = await held.opening.catch(() => undefined);
    await session?.close();
  }
}
