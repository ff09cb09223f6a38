import { Fault } from "@sluice/contracts";
import { Pool, type Dispatcher } from "undici";

export interface ConnectionsOptions {
  readonly origin: string;
  readonly connections: number;
  /** Requests that may wait for a connection; undici itself lets any number wait. */
  readonly waiting: number;
  /** Said to the caller for whom there is no room. */
  readonly full: string;
}

const connectTimeoutMs = 10_000;
const keepAliveTimeoutMs = 60_000;

/** The connections to one endpoint for one use, and a bounded number of requests that wait for one. */
export class Connections {
  readonly #pool: Pool;
  readonly #most: number;
  readonly #full: string;
  #held = 0;

  constructor({ origin, connections, waiting, full }: ConnectionsOptions) {
    this.#pool = new Pool(origin, {
      connections,
      connect: { timeout: connectTimeoutMs },
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#most = connections + waiting;
    this.#full = full;
  }

  /** @throws Fault `overloaded` where every connection is in use and nobody more may wait. */
  requireRoom(): void {
    if (this.#held >= this.#most) throw new Fault("overloaded", this.#full);
  }

  /** The handler calls `release` once the request is over for undici too: one given up while it waits still takes its place. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.requireRoom();
    this.#held++;
    this.#pool.dispatch(options, handler);
  }

  release(): void {
    this.#held--;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  destroy(): Promise<void> {
    return this.#pool.destroy();
  }
}
