import { readFileSync } from "node:fs";
import { watchFile } from "@sluice/runtime";

export interface PemSourceOptions {
  /** `${file:PATH}`, or the text itself. */
  readonly source: string;
  /** Told after the file has changed. */
  readonly onChange: () => void;
}

const form = /^\$\{file:([^}]+)\}$/;

/** Text in PEM from the configuration, or from a file that is watched. */
export class PemSource implements Disposable {
  readonly #path: string | undefined;
  readonly #text: string;
  readonly #watch: Disposable | undefined;
  #seen: string | undefined;

  constructor({ source, onChange }: PemSourceOptions) {
    this.#path = form.exec(source)?.[1];
    this.#text = source;
    if (this.#path === undefined) return;
    try {
      this.#watch = watchFile(this.#path, () => {
        const before = this.#seen;
        if (this.#look() !== before) onChange();
      });
    } catch {
      // Without its directory there is nothing to watch, and reading says so.
    }
  }

  /** @throws Error that names the file */
  read(): string {
    const text = this.#look();
    if (text === undefined) throw new Error(`the file ${this.#path} can't be read`);
    return text;
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
  }

  #look(): string | undefined {
    if (this.#path === undefined) return this.#text;
    try {
      this.#seen = readFileSync(this.#path, "utf8");
    } catch {
      this.#seen = undefined;
    }
    return this.#seen;
  }
}
