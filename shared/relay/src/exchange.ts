import { Fault, toFault } from "@sluice/contracts";
import { AddressRefused } from "@sluice/net";
import type { Dispatcher } from "undici";
import type { Connections } from "./connections.ts";

export interface UpstreamRequest {
  readonly path: string;
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Record<string, string>;
  readonly body: Buffer | AsyncIterable<Buffer> | null;
  /** Asked as soon as the status is known; what it returns is how the attempt ends. */
  readonly refusal?: (status: number) => Fault | undefined;
}

export type ReceivedHeaders = Record<string, string | string[] | undefined>;

/** Whoever stops reading lets go of the connection. */
const unread = new Fault("client_left", "nobody reads on");
/** More than this waiting to be relayed, and the upstream is asked to pause. */
const highWaterBytes = 1024 * 1024;

/** One attempt at an upstream: the answer's head, then its bytes as they come, with back-pressure. */
export class Exchange implements AsyncIterable<Buffer> {
  readonly head: Promise<{ status: number; headers: ReceivedHeaders }>;
  readonly #head = Promise.withResolvers<{ status: number; headers: ReceivedHeaders }>();
  #controller: Dispatcher.DispatchController | undefined;
  #queue: Buffer[] = [];
  #queued = 0;
  #paused = false;
  #done = false;
  #failure: Fault | undefined;
  #wake: (() => void) | undefined;

  /** A request that isn't ready yet is sent once it is; what it fails with is how the attempt ends. */
  constructor(connections: Connections, request: UpstreamRequest | Promise<UpstreamRequest>) {
    this.head = this.#head.promise;
    this.head.catch(() => {});
    if (request instanceof Promise)
      request.then((ready) => this.#send(connections, ready)).catch((error: unknown) => this.#finish(toFault(error)));
    else this.#send(connections, request);
  }

  #send(connections: Connections, { path, method, headers, body, refusal }: UpstreamRequest): void {
    if (this.#done) return;
    connections.dispatch(
      // undici takes async iterables too; its type for `dispatch` does not say so.
      { path, method, headers, body: body as Buffer | null, headersTimeout: 0, bodyTimeout: 0 },
      {
        onRequestStart: (controller) => {
          this.#controller = controller;
          if (this.#failure !== undefined) controller.abort(this.#failure);
        },
        onResponseStart: (_controller, status, fields) => {
          const fault = refusal?.(status);
          if (fault === undefined) this.#head.resolve({ status, headers: fields });
          else this.abort(fault);
        },
        onResponseData: (controller, chunk) => this.#received(controller, chunk),
        onResponseEnd: () => this.#finish(undefined),
        onResponseError: (_controller, error) => this.#finish(upstreamFault(error)),
      },
    );
  }

  /** Ends the attempt; whoever waits for it gets this fault. */
  abort(fault: Fault): void {
    if (this.#done) return;
    this.#finish(fault);
    this.#controller?.abort(fault);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (let chunk = await this.#take(); chunk !== undefined; chunk = await this.#take()) yield chunk;
    } finally {
      this.abort(unread);
    }
  }

  /** Reads up to `limit` bytes; `complete` tells whether that was all. */
  async collect(limit: number): Promise<{ bytes: Buffer; complete: boolean }> {
    const parts: Buffer[] = [];
    let size = 0;
    while (size <= limit) {
      const part = await this.#take();
      if (part === undefined)
        return { bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts), complete: true };
      parts.push(part);
      size += part.length;
    }
    return { bytes: Buffer.concat(parts), complete: false };
  }

  /** Everything that has come: a burst of small chunks goes on as one. */
  async #take(): Promise<Buffer | undefined> {
    for (;;) {
      const received = this.#queue;
      if (received.length > 0) {
        this.#queue = [];
        this.#taken();
        return received.length === 1 ? received[0] : Buffer.concat(received);
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#done) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #taken(): void {
    this.#queued = 0;
    if (!this.#paused) return;
    this.#paused = false;
    this.#controller?.resume();
  }

  #received(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    if (this.#queued > highWaterBytes && !this.#paused) {
      this.#paused = true;
      controller.pause();
    }
    this.#wake?.();
  }

  #finish(fault: Fault | undefined): void {
    if (this.#done) return;
    this.#done = true;
    this.#failure = fault;
    if (fault !== undefined) this.#head.reject(fault);
    this.#wake?.();
  }
}

function upstreamFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  if (error instanceof AddressRefused)
    return new Fault("upstream_failed", "the upstream's address is none that the gateway may connect to", {
      cause: error,
    });
  const code = (error as NodeJS.ErrnoException).code ?? (error as Error).name;
  return new Fault("upstream_failed", `the upstream could not be reached or broke off (${code})`, { cause: error });
}
