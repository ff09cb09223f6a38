import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "@sluice/contracts";
import type { Dispatcher } from "undici";
import type { Attempt } from "./breaker.ts";

/** Answers of something in front of the upstream, or of an upstream that says itself that it can't. */
const unavailableStatuses = new Set([502, 503, 504]);
/** Of undici's own errors those that are the upstream's doing; the others are about the request, or the end of this service. */
const upstreamsOwn = new Set([
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_HEADERS_OVERFLOW",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
]);

export interface WatchOptions {
  readonly attempt: Attempt;
  /** A stream of the server's own messages may rightly stay silent. */
  readonly listening: boolean;
  /** The request is over for undici too. */
  readonly onOver: () => void;
}

/** Passes everything on to another handler and tells the breaker what it says about the upstream. */
export class AttemptWatch implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #options: WatchOptions;

  constructor(handler: Dispatcher.DispatchHandler, options: WatchOptions) {
    this.#handler = handler;
    this.#options = options;
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: object): void {
    this.#handler.onRequestStart?.(controller, context);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // Early hints and the like: the answer is yet to come.
    if (status < 200) return;
    const { attempt } = this.#options;
    if (unavailableStatuses.has(status)) attempt.failed();
    else if (/^text\/event-stream/i.test(String(headers["content-type"]))) attempt.succeeded();
    this.#handler.onResponseStart?.(controller, status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#options.onOver();
    this.#options.attempt.succeeded();
    this.#handler.onResponseEnd?.(controller, trailers);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    const { attempt, listening, onOver } = this.#options;
    onOver();
    if (isUpstreams(error, listening)) attempt.failed();
    this.#handler.onResponseError?.(controller, error);
  }
}

function isUpstreams(error: unknown, listening: boolean): boolean {
  if (error instanceof Fault) return error.kind === "upstream_timeout" && !listening;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || code === "ADDRESS_REFUSED" || code === "ABORT_ERR") return false;
  return upstreamsOwn.has(code) || !/^(?:UND_ERR|ERR_INVALID|ERR_HTTP)_/.test(code);
}
