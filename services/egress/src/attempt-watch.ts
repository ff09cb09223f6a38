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

/** Passes everything on to `handler` and tells the breaker what it says about the upstream. */
export function watchAttempt(
  handler: Dispatcher.DispatchHandler,
  { attempt, listening, onOver }: WatchOptions,
): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onResponseStart: (controller, status, headers) => {
      if (unavailableStatuses.has(status)) attempt.failed();
      else if (/^text\/event-stream/i.test(String(headers["content-type"]))) attempt.succeeded();
      handler.onResponseStart?.(controller, status, headers);
    },
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => {
      onOver();
      attempt.succeeded();
      handler.onResponseEnd?.(controller, trailers);
    },
    onResponseError: (controller, error) => {
      onOver();
      if (isUpstreams(error, listening)) attempt.failed();
      handler.onResponseError?.(controller, error);
    },
  };
}

function isUpstreams(error: unknown, listening: boolean): boolean {
  if (error instanceof Fault) return error.kind === "upstream_timeout" && !listening;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || code === "ADDRESS_REFUSED" || code === "ABORT_ERR") return false;
  return upstreamsOwn.has(code) || !/^(?:UND_ERR|ERR_INVALID|ERR_HTTP)_/.test(code);
}
