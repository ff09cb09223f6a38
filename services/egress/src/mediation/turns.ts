/** Work of which, for each key, only one piece is under way. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Begins when everything before it is over. */
  inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    return this.#keep(key, before.then(work, work));
  }

  /** Whoever comes while it is under way gets what comes of it. */
  once(key: string, work: () => Promise<void>): Promise<void> {
    return (this.#last.get(key) as Promise<void> | undefined) ?? this.#keep(key, work());
  }

  #keep<T>(key: string, mine: Promise<T>): Promise<T> {
    this.#last.set(key, mine);
    const forget = () => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    };
    mine.then(forget, forget);
    return mine;
  }
}
