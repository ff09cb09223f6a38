import { methodNotFound, RpcError, type Members, type Request, type RpcId } from "./rpc.ts";

/** Who speaks to an upstream: the agent's client, as it introduced itself. */
export interface Client {
  readonly info: Members;
  readonly capabilities: Members;
  /** The least severe level of log messages it wants. */
  readonly logLevel?: string;
}

/** What an upstream said of itself. */
export interface About {
  readonly capabilities: Members;
  readonly serverInfo: Members;
  readonly instructions?: string;
}

/** Where an upstream's own words go while it works on a request. */
export interface Sink {
  /** Ends the request for the upstream too. */
  readonly signal: AbortSignal;
  notify(notice: Request): void;
  /** Resolves when the client can take more; what has no end of its own waits for it. */
  room?(): Promise<void>;
  /** Asks the client; resolves with its result. @throws RpcError where it refuses or cannot be asked. */
  ask(request: Request): Promise<Members>;
}

/** Which changes a client wants to hear of (MCP 2026-07-28, SubscriptionFilter). */
export interface Wanted {
  readonly toolsListChanged?: boolean;
  readonly promptsListChanged?: boolean;
  readonly resourcesListChanged?: boolean;
  readonly resourceSubscriptions?: readonly string[];
}

/** One upstream in its own era, spoken to for one principal. */
export interface Peer {
  readonly server: string;
  about(signal: AbortSignal): Promise<About>;
  /** @throws RpcError for an error answer, Fault where there is none. */
  request(request: Request, sink: Sink): Promise<Members>;
  notify(notice: Request): Promise<void>;
  /** Hands over what the upstream says of its own accord, until the signal; resolves at once where it never does. */
  listen(wanted: Wanted, sink: Sink): Promise<void>;
  /** Says goodbye; never rejects. */
  close(): Promise<void>;
}

/** A sink for requests during which nobody can be asked. */
export function deafSink(signal: AbortSignal): Sink {
  return { signal, notify: () => {}, ask: nobodyAsked };
}

/** How an upstream is answered that asks where there is no client to ask. */
export function nobodyAsked(): Promise<never> {
  return Promise.reject(new RpcError(methodNotFound, "there is no client that can be asked here"));
}

/** Counts ids that no other replica gives. */
export class Ids {
  readonly #prefix: string;
  #next = 0;

  constructor(instance: string) {
    this.#prefix = `sluice-${instance}`;
  }

  next(): RpcId {
    return `${this.#prefix}-${(this.#next++).toString(36)}`;
  }
}
