const everyMs = 1_000;

/** Tells on stderr how far an export is: on a terminal in one line, else at the end alone. */
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

  end(file: string): void {
    const start = process.stderr.isTTY ? "\r" : "";
    process.stderr.write(`${start}${this.#rows} ${this.#what} written${file === "-" ? "" : ` to ${file}`}\n`);
  }
}
