import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "@sluice/contracts";
import { isEventStream, SseReader, type Exchange, type ReceivedHeaders } from "@sluice/relay";
import type { StdioParts } from "./stdio.ts";
import { headWithin, SilenceWatch } from "./waiting.ts";

/** What an answer or an event may have. */
const mostBytes = 64 * 1024 * 1024;
const sessionField = "mcp-session-id";

export interface Heard {
  readonly status: number;
  readonly headers: ReceivedHeaders;
  /** What was no event stream. */
  readonly body?: Buffer;
  /** The one that the request belonged to. */
  readonly session: string | undefined;
}

interface Hooks {
  /** Gets the data of each event of a stream, one after the other. */
  readonly onEvent: (data: Buffer) => Promise<void>;
  readonly onSent?: (exchange: Exchange) => void;
  readonly onHead?: (headers: ReceivedHeaders) => void;
}

interface Posting extends Hooks {
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the answer names a session. */
  readonly opens: boolean;
}

interface Sending {
  readonly method: "GET" | "POST" | "DELETE";
  readonly body: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Streamable HTTP to the upstream for one client: its session, its revision, and everything under way. */
export class StdioLink {
  readonly #parts: StdioParts;
  readonly #underWay = new Set<Exchange>();
  session: string | undefined;
  /** Of the legacy era: what the upstream agreed to. */
  version: string | undefined;

  constructor(parts: StdioParts) {
    this.#parts = parts;
  }

  /** @throws Fault where no whole answer came */
  post(body: Buffer, { headers, opens, ...hooks }: Posting): Promise<Heard> {
    const onHead = ({ [sessionField]: given }: ReceivedHeaders) => {
      if (opens && typeof given === "string") this.session = given;
    };
    return this.#exchange({ method: "POST", body, headers }, { ...hooks, onHead });
  }

  /** The stream of the server's own messages, to its end. */
  listen(onEvent: Hooks["onEvent"]): Promise<Heard> {
    return this.#exchange({ method: "GET", body: null, headers: { accept: "text/event-stream" } }, { onEvent });
  }

  abort(fault: Fault): void {
    for (const exchange of this.#underWay) exchange.abort(fault);
  }

  /** Ends the session, if the upstream says so in time. */
  async close(withinMs: number): Promise<void> {
    if (this.session === undefined) return;
    const exchange = this.#send({ method: "DELETE", body: null, headers: {} });
    await Promise.race([exchange.head.catch(() => {}), sleep(withinMs, undefined, { ref: false })]);
    exchange.abort(new Fault("client_left", "the session is over"));
  }

  async #exchange(sending: Sending, { onEvent, onSent, onHead }: Hooks): Promise<Heard> {
    const { session } = this;
    const exchange = this.#send(sending);
    this.#underWay.add(exchange);
    onSent?.(exchange);
    try {
      const head = await headWithin(exchange, this.#parts.settings.UPSTREAM_RESPONSE_TIMEOUT_MS);
      onHead?.(head.headers);
      if (!isEventStream(head.headers)) return { ...head, session, body: await this.#whole(exchange, head.headers) };
      await readEvents(exchange, onEvent);
      return { ...head, session };
    } finally {
      this.#underWay.delete(exchange);
    }
  }

  async #whole(exchange: Exchange, headers: ReceivedHeaders): Promise<Buffer> {
    using watch = new SilenceWatch(exchange, headers, this.#parts.settings.UPSTREAM_IDLE_TIMEOUT_MS);
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of exchange) {
      watch.heard();
      size += part.length;
      if (size > mostBytes) throw new Fault("upstream_failed", "the upstream's answer is too large");
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  #send({ method, body, headers }: Sending): Exchange {
    const sent = {
      accept: "application/json, text/event-stream",
      ...(body !== null && { "content-type": "application/json", "content-length": String(body.length) }),
      ...(this.session !== undefined && { [sessionField]: this.session }),
      ...(this.version !== undefined && { "mcp-protocol-version": this.version }),
      ...headers,
    };
    return this.#parts.upstream.send({ method, target: "/mcp", headers: sent, body });
  }
}

async function readEvents(exchange: Exchange, onEvent: Hooks["onEvent"]): Promise<void> {
  const reader = new SseReader(mostBytes);
  for await (const chunk of exchange) {
    for (const { data, endsEvent } of reader.push(chunk)) {
      if (data === undefined || !endsEvent) throw new Fault("upstream_failed", "the upstream's event is too large");
      if (data.length > 0) await onEvent(data);
    }
  }
}
