/** How many may be with one host at once, and how many more may wait for that. */
export interface TurnsOptions {
  readonly atOnce: number;
  readonly waiting: number;
}

interface Host {
  busy: number;
  readonly waiting: (() => void)[];
}

/** Turns at webhooks, host by host: a slow one makes nobody wait but those who are for it too. */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #hosts = new Map<string, Host>();

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Undefined where too many wait for the host already; else what gives the turn back. */
  async take(name: string): Promise<Disposable | undefined> {
    const host = this.#hosts.get(name) ?? { busy: 0, waiting: [] };
    this.#hosts.set(name, host);
    if (host.busy >= this.#options.atOnce) {
      if (host.waiting.length >= this.#options.waiting) return undefined;
      await new Promise<void>((resolve) => host.waiting.push(resolve));
    } else host.busy++;
    return { [Symbol.dispose]: () => this.#pass(name, host) };
  }

  #pass(name: string, host: Host): void {
    const next = host.waiting.shift();
    if (next !== undefined) return next();
    if (--host.busy === 0) this.#hosts.delete(name);
  }
}
