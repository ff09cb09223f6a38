import { Fault, type CallHead } from "@sluice/contracts";
import { unswayed } from "../definitions/unswayed.ts";
import { isEventStream, SseReader, type Exchange, type ReceivedHeaders } from "@sluice/relay";
import { forward } from "../forward.ts";
import type { Upstream } from "../upstreams.ts";
import { parseJson, readMessage, type RpcMessage } from "./rpc.ts";

/** A way to one upstream in the name of one agent. */
export interface Line {
  readonly upstream: Upstream;
  readonly head: CallHead;
  readonly traceparent: string;
  readonly maxAnswerBytes: number;
  /** What the server takes, where its address stands for several and ingress could not know whose call it was. */
  readonly maxBodyBytes: number;
}

export interface Sending {
  readonly http: "POST" | "GET" | "DELETE";
  readonly message?: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly session?: string | undefined;
  readonly resumeFrom?: string | undefined;
  readonly signal: AbortSignal;
  /** Where it goes; the endpoint's own address without one. */
  readonly path?: string;
}

/** The upstream refused with an HTTP status and no JSON-RPC message. */
export class HttpRefusal extends Fault {
  readonly status: number;

  constructor(status: number) {
    super("upstream_failed", `the upstream answered with the HTTP status ${status}`);
    this.status = status;
  }
}

const left = new Fault("client_left", "the client left");

/** How long a stream may take to end once its answer is there. */
const endingMs = 1_000;

/** Why a signal ended: a deadline of ours is the upstream's failure, anything else means that nobody waits any more. */
export function reasonOf(signal: AbortSignal): Fault {
  const reason: unknown = signal.reason;
  if (reason instanceof Fault) return reason;
  const isLate = reason instanceof DOMException && reason.name === "TimeoutError";
  return isLate ? new Fault("upstream_timeout", "the upstream did not answer in time") : left;
}

/** Resolves when the signal is given. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Waits for what others wait for too, and what therefore goes on without a caller that leaves. @throws Fault why it left */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const gone = Promise.withResolvers<never>();
  const onAbort = () => gone.reject(reasonOf(signal));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  return await Promise.race([work, gone.promise]).finally(() => signal.removeEventListener("abort", onAbort));
}

const refusalBytes = 64 * 1024;
/** What of the client's header fields goes on when the message itself is ours. */
const notOurs = /^(?:accept|content-type|mcp-.*)$/;

/** An answer whose messages come one by one. */
export class Received {
  readonly status: number;
  readonly headers: ReceivedHeaders;
  readonly #exchange: Exchange;
  readonly #reader: SseReader;
  readonly #maxBytes: number;
  readonly #onOver: () => void;
  /** How long to wait before the stream is taken up again, where the upstream said so. */
  retryMs: number | undefined;

  constructor(
    exchange: Exchange,
    { status, headers }: { status: number; headers: ReceivedHeaders },
    { maxBytes, onOver }: { maxBytes: number; onOver: () => void },
  ) {
    this.#exchange = exchange;
    this.status = status;
    this.headers = headers;
    this.#maxBytes = maxBytes;
    this.#onOver = onOver;
    this.#reader = new SseReader(maxBytes);
  }

  get session(): string | undefined {
    const id = this.headers["mcp-session-id"];
    return typeof id === "string" ? id : undefined;
  }

  /** The id of the last event, where the stream can be taken up after it. */
  get lastEventId(): string | undefined {
    return this.#reader.lastId;
  }

  get isStream(): boolean {
    return isEventStream(this.headers);
  }

  /** @throws HttpRefusal where the status says no and the body says nothing. */
  async *messages(): AsyncGenerator<RpcMessage> {
    for await (const { data } of this.events()) {
      if (data.length === 0) continue;
      const value = parseJson(data);
      for (const message of Array.isArray(value) ? value : [value]) yield readMessage(message);
    }
  }

  /** The events of a stream, or the whole body as one. */
  async *events(): AsyncGenerator<{ type: string; data: Buffer }> {
    try {
      if (this.status >= 300) yield { type: "message", data: await this.#refusal() };
      else if (this.isStream) yield* this.#stream();
      else {
        const { bytes, complete } = await this.#exchange.collect(this.#maxBytes);
        if (!complete) throw this.#drop(new Fault("upstream_failed", "the upstream's answer is too large"));
        yield { type: "message", data: bytes };
      }
    } finally {
      this.#onOver();
    }
  }

  /** What is still to come concerns nobody: a stream that ends by itself keeps its connection, any other is dropped. */
  letEnd(messages: AsyncGenerator<RpcMessage>): void {
    const timer = setTimeout(() => this.drop(), endingMs);
    const drain = async () => {
      while ((await messages.next()).done !== true);
    };
    void drain()
      .catch(() => {})
      .finally(() => clearTimeout(timer));
  }

  drop(): void {
    this.#drop(left);
  }

  async *#stream(): AsyncGenerator<{ type: string; data: Buffer }> {
    for await (const chunk of this.#exchange) {
      for (const { data, otherLines } of this.#reader.push(chunk)) {
        if (data === undefined) throw this.#drop(new Fault("upstream_failed", "an event of the upstream is too large"));
        const other = otherLines?.toString("utf8") ?? "";
        const retry = /^retry: ?(\d{1,7})$/m.exec(other)?.[1];
        if (retry !== undefined) this.retryMs = Number(retry);
        yield { type: /^event: ?(.+)$/m.exec(other)?.[1] ?? "message", data };
      }
    }
  }

  async #refusal(): Promise<Buffer> {
    const { bytes } = await this.#exchange.collect(refusalBytes);
    this.drop();
    const isMessage = /json/i.test(String(this.headers["content-type"] ?? "")) && bytes.includes('"jsonrpc"');
    if (this.status < 400 || !isMessage) throw new HttpRefusal(this.status);
    return bytes;
  }

  #drop(fault: Fault): Fault {
    this.#onOver();
    this.#exchange.abort(fault);
    return fault;
  }
}

/** The client's header fields that go on whatever the message. */
export function forwarded({ head }: Line): Record<string, string> {
  return Object.fromEntries(Object.entries(head.headers).filter(([name]) => !notOurs.test(name)));
}

function methodOf(message: unknown): unknown {
  return (message as { method?: unknown } | undefined)?.method;
}

/** Sends one message and resolves with the head of what comes back. @throws Fault */
export async function send(line: Line, sending: Sending): Promise<Received> {
  const { upstream, head, traceparent, maxAnswerBytes } = line;
  const { http, message, session, resumeFrom, signal } = sending;
  if (signal.aborted) throw reasonOf(signal);
  const body = message === undefined ? null : Buffer.from(JSON.stringify(message));
  if (body !== null && body.length > line.maxBodyBytes)
    throw new Fault("payload_too_large", `the server '${head.server}' takes at most ${line.maxBodyBytes} bytes`);
  const exchange = forward({
    head: {
      agent: head.agent,
      http,
      headers: {
        ...unswayed(methodOf(message), forwarded(line), upstream.endpoint),
        ...(message !== undefined && { "content-type": "application/json" }),
        ...sending.headers,
      },
      ...(session !== undefined && { session: { upstream: session } }),
      ...(resumeFrom !== undefined && { resumeFrom }),
    },
    upstream,
    connections: http === "GET" ? upstream.streams : upstream.calls,
    body,
    traceparent,
    ...(sending.path !== undefined && { path: sending.path }),
  });
  const onAbort = () => exchange.abort(reasonOf(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  const onOver = () => signal.removeEventListener("abort", onAbort);
  try {
    return new Received(exchange, await exchange.head, { maxBytes: maxAnswerBytes, onOver });
  } catch (error) {
    onOver();
    throw error;
  }
}
