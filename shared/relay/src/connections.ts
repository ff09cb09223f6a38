import { Fault } from "@sluice/contracts";
import { Client, Pool, type buildConnector, type Dispatcher } from "undici";
import { AttemptWatch } from "./attempt-watch.ts";
import type { Breaker } from "./breaker.ts";

export interface ConnectionsOptions {
  readonly origin: string;
  readonly connector: buildConnector.connector;
  /** What they are for may rightly stay silent: no answer in time says nothing of the upstream. */
  readonly isPatient?: boolean;
  /** Of the upstream: all its connections share one. */
  readonly breaker: Breaker;
  readonly connections: number;
  /** Requests that may wait for a connection; undici itself lets any number wait. */
  readonly waiting: number;
  /** Said to the caller for whom there is no room. */
  readonly full: string;
}

const keepAliveTimeoutMs = 60_000;

/** A connection that a request which can't be sent at all leaves usable: undici's pool would take it for busy for ever. */
class LastingClient extends Client {
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return super.dispatch(options, handler) || this.stats.size === 0;
  }
}

/** The connections to one endpoint for one use, and a bounded number of requests that wait for one. */
export class Connections {
  readonly #pool: Pool;
  readonly #breaker: Breaker;
  readonly #most: number;
  readonly #full: string;
  readonly #isPatient: boolean;
  #held = 0;

  constructor({ origin, connector, breaker, connections, waiting, full, isPatient = false }: ConnectionsOptions) {
    this.#pool = new Pool(origin, {
      connections,
      connect: connector,
      factory: (to, clientOptions: Client.Options) => new LastingClient(to, clientOptions),
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#breaker = breaker;
    this.#most = connections + waiting;
    this.#full = full;
    this.#isPatient = isPatient;
  }

  /**
   * @throws Fault `overloaded` where every connection is in use and nobody more may wait, `upstream_unavailable` where
   * the upstream did not answer lately.
   */
  requireRoom(): void {
    this.#breaker.requirePassage();
    if (this.#held >= this.#most) throw new Fault("overloaded", this.#full);
  }

  /** Sends a request. One given up while it waits still takes its place until it is over for undici too. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.requireRoom();
    const attempt = this.#breaker.enter();
    this.#held++;
    const watch = { attempt, listening: this.#isPatient && options.method === "GET", onOver: () => this.#held-- };
    this.#pool.dispatch(options, new AttemptWatch(handler, watch));
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  destroy(): Promise<void> {
    return this.#pool.destroy();
  }
}
