export interface UpkeepOptions<Session> {
  /** How long an unused session lives. */
  readonly ttlMs: number;
  readonly isOver: (session: Session) => Promise<boolean>;
  /** Gives back what a session held that is over. */
  readonly tidy: (session: Session) => Promise<void>;
}

const graceMs = 1_000;
/** A timer takes no more. */
const mostMs = 2 ** 31 - 1;

/** Looks after the sessions that calls of this replica used: other replicas may keep them alive, so it asks before it tidies. */
export class Upkeep<Session> implements Disposable {
  readonly #options: UpkeepOptions<Session>;
  readonly #watched = new Map<string, { session: Session; timer: NodeJS.Timeout }>();

  constructor(options: UpkeepOptions<Session>) {
    this.#options = options;
  }

  /** The session of this name was used just now. */
  watch(name: string, session: Session): void {
    this.#ask(name, session, this.#options.ttlMs);
  }

  forget(name: string): void {
    clearTimeout(this.#watched.get(name)?.timer);
    this.#watched.delete(name);
  }

  *sessions(): Iterable<Session> {
    for (const { session } of this.#watched.values()) yield session;
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
    this.#watched.clear();
  }

  #ask(name: string, session: Session, afterMs: number): void {
    clearTimeout(this.#watched.get(name)?.timer);
    const { ttlMs, isOver, tidy } = this.#options;
    const ask = async () => {
      const mine = this.#watched.get(name);
      const over = await isOver(session).catch(() => false);
      if (this.#watched.get(name) !== mine) return;
      if (!over) return this.#ask(name, session, ttlMs / 4);
      this.forget(name);
      await tidy(session);
    };
    const timer = setTimeout(() => void ask(), Math.min(mostMs, afterMs + graceMs)).unref();
    this.#watched.set(name, { session, timer });
  }
}
