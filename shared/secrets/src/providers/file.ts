import type { BigIntStats } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { SecretProvider, Told, Watch } from "../provider.ts";

const lookEveryMs = 1_000;
const mostBytes = 64 * 1024;

const meanings: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "this process may not read the file",
};

/**
 * `${file:PATH}`: the text of a file, without white space around it. Looked at every second by its path, for nothing
 * tells of a symbolic link that is swapped somewhere on the way to it, as Kubernetes does.
 */
export function fileProvider(): SecretProvider {
  return { watch: (path, told) => new WatchedFile(path, told) };
}

class WatchedFile implements Watch {
  readonly #path: string;
  readonly #told: Told;
  readonly #timer: NodeJS.Timeout;
  #seen = "";
  #looking = false;
  #over = false;

  constructor(path: string, told: Told) {
    this.#path = path;
    this.#told = told;
    this.#timer = setInterval(() => this.again(), lookEveryMs).unref();
    this.again();
  }

  again(): void {
    if (this.#looking || this.#over) return;
    this.#looking = true;
    void this.#look().finally(() => (this.#looking = false));
  }

  async #look(): Promise<void> {
    try {
      const read = await this.#readChanged();
      if (read === undefined || this.#over) return;
      if (read.text === "") throw new Unreadable("the file is empty");
      this.#seen = read.mark;
      this.#told.value(read.text);
    } catch (error) {
      this.#seen = "";
      if (!this.#over) this.#told.problem(reasonOf(error));
    }
  }

  /** Undefined where the file is as it was when last read, or changes at this very moment. */
  async #readChanged(): Promise<{ text: string; mark: string } | undefined> {
    const there = await stat(this.#path, { bigint: true });
    if (markOf(there) === this.#seen) return undefined;
    if (!there.isFile()) throw new Unreadable("it is no file");
    await using file = await open(this.#path, "r");
    const before = await file.stat({ bigint: true });
    if (before.size > mostBytes) throw new Unreadable(`the file is larger than ${mostBytes} bytes`);
    const bytes = await file.readFile();
    const mark = markOf(before);
    if (markOf(await file.stat({ bigint: true })) !== mark) return undefined;
    return { text: textOf(bytes).trim(), mark };
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearInterval(this.#timer);
  }
}

function markOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${dev}/${ino}/${size}/${mtimeNs}/${ctimeNs}`;
}

class Unreadable extends Error {}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Unreadable("the file is no UTF-8 text");
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Unreadable) return error.message;
  const { code = "unknown" } = error as NodeJS.ErrnoException;
  return meanings[code] ?? `the file can't be read (${code})`;
}
