const everyMs = 1_000;

/** Tells on stderr how far something long is: on a terminal in one line, else at the end alone. */
export class Progress {
  readonly #what: string;
  #rows = 0;
  #toldAt = 0;

  constructor(what: string) {
    this.#what = what;
  }

  add(rows: number): void {
    this.#rows += rows;
    if (!process.stderr.isTTY || Date.now() - this.#toldAt < everyMs) return;
    this.#toldAt = Date.now();
    process.stderr.write(`\r${this.#rows} ${this.#what}`);
  }

  /** @param done what was done with all of them, such as `written` */
  end(done: string): void {
    const start = process.stderr.isTTY ? "\r" : "";
    process.stderr.write(`${start}${this.#rows} ${this.#what} ${done}\n`);
  }
}
