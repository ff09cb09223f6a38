import { isEventStream, type Exchange, type ReceivedHeaders } from "@sluice/relay";
import { timedOut } from "./upstream.ts";

/** The head of an answer, unless it takes longer; 0 for no bound. @throws Fault `upstream_timeout` */
export async function headWithin(exchange: Exchange, timeoutMs: number): Exchange["head"] {
  const timer = timeoutMs > 0 ? setTimeout(() => exchange.abort(timedOut("did not answer")), timeoutMs) : undefined;
  try {
    return await exchange.head;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends an answer that does not go on, but for an event stream; the time that the client takes to read does not count. */
export class SilenceWatch implements Disposable {
  readonly #timer: NodeJS.Timeout | undefined;
  isReading = false;

  constructor(exchange: Exchange, headers: ReceivedHeaders, timeoutMs: number) {
    if (timeoutMs === 0 || isEventStream(headers)) return;
    this.#timer = setTimeout(() => {
      if (this.isReading) this.heard();
      else exchange.abort(timedOut("did not go on"));
    }, timeoutMs);
  }

  heard(): void {
    this.#timer?.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
