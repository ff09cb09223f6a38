import type { IncomingMessage, ServerResponse } from "node:http";
import { asBuffer, Fault, toFault } from "@sluice/contracts";
import type { Exchange, ReceivedHeaders } from "@sluice/relay";
import { forwardedFields, relayedFields } from "./fields.ts";
import { beat, listensInVain, type Beats } from "./heartbeat.ts";
import { endOf, type Told } from "./report.ts";
import type { Settings } from "./settings.ts";
import { timedOut, type Sent, type Upstream } from "./upstream.ts";

/** A body of up to so many bytes goes on in one piece, which costs less than a stream. */
const smallBytes = 256 * 1024;
const withoutBody = new Set(["GET", "HEAD"]);
export const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;

export interface AttemptParts {
  readonly settings: Settings;
  readonly upstream: Upstream;
  readonly beats: Beats;
}

/**
 * Carries one request to the upstream, once, and what comes back to the client: status, fields and body as they are. What the
 * client can be told no more breaks its connection off.
 * @throws Fault where the upstream gave no answer and nothing was written yet.
 */
export async function carry(request: IncomingMessage, response: ServerResponse, parts: AttemptParts): Promise<Told> {
  const { settings, upstream, beats } = parts;
  const exchange = upstream.send(await sentOf(request, settings));
  response.once("close", () => exchange.abort(new Fault("client_left", "the client left")));
  const { status, headers } = await within(exchange, settings.UPSTREAM_RESPONSE_TIMEOUT_MS);
  if (listensInVain(request, status)) {
    exchange.abort(new Fault("client_left", "not read"));
    await beat(response, beats);
    return { status, heartbeat: true };
  }
  response.writeHead(status, relayedFields(headers));
  using watch = new SilenceWatch(exchange, isEventStream(headers) ? 0 : settings.UPSTREAM_IDLE_TIMEOUT_MS);
  try {
    return { status, headers, ...(await relayBody(exchange, response, { keep: status >= 400, watch })) };
  } catch (error) {
    response.destroy();
    return { status, headers, fault: toFault(error) };
  }
}

async function sentOf(request: IncomingMessage, settings: Settings): Promise<Sent> {
  const method = request.method as Sent["method"];
  const headers = forwardedFields(request.headers, settings.FORWARD_HEADERS);
  const sent = { method, target: request.url ?? "/", headers };
  const length = Number(headers["content-length"] ?? (request.headers["transfer-encoding"] === undefined ? 0 : NaN));
  const limit = settings.MAX_BODY_BYTES;
  if (length > limit) throw tooLarge(limit);
  if (withoutBody.has(method) && length === 0) return { ...sent, body: null };
  if (length <= smallBytes || settings.SIGNING_MODE === "strict") {
    const body = await collected(request, limit);
    headers["content-length"] = String(body.length);
    return { ...sent, body };
  }
  return { ...sent, body: bounded(request, limit) };
}

async function collected(request: IncomingMessage, limit: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of bounded(request, limit)) parts.push(part);
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

async function* bounded(request: IncomingMessage, limit: number): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > limit) throw tooLarge(limit);
    yield asBuffer(chunk);
  }
}

function tooLarge(limit: number): Fault {
  return new Fault("payload_too_large", `a request may have at most ${limit} bytes: see MAX_BODY_BYTES`);
}

async function within(exchange: Exchange, timeoutMs: number): Exchange["head"] {
  const timer = timeoutMs > 0 ? setTimeout(() => exchange.abort(timedOut("did not answer")), timeoutMs) : undefined;
  try {
    return await exchange.head;
  } finally {
    clearTimeout(timer);
  }
}

/** Ends an answer that does not go on; the time that the client takes to read does not count. */
class SilenceWatch implements Disposable {
  readonly #timer: NodeJS.Timeout | undefined;
  isReading = false;

  constructor(exchange: Exchange, timeoutMs: number) {
    if (timeoutMs === 0) return;
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

interface Relaying {
  /** Whether the beginning of the body is kept, to be told. */
  readonly keep: boolean;
  readonly watch: SilenceWatch;
}

/** No faster than the client reads. */
async function relayBody(exchange: Exchange, response: ServerResponse, { keep, watch }: Relaying) {
  let bytes = 0;
  const end = endOf(keep);
  for await (const chunk of exchange) {
    watch.heard();
    bytes += chunk.length;
    end.take(chunk);
    if (response.write(chunk)) continue;
    watch.isReading = true;
    await drained(response);
    watch.isReading = false;
  }
  response.end();
  return { bytes, ...(keep && { start: end.start() }) };
}

async function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once("drain", resolve).once("close", resolve);
  await promise;
  response.off("drain", resolve).off("close", resolve);
}

function isEventStream(headers: ReceivedHeaders): boolean {
  return /^text\/event-stream\s*(?:;|$)/i.test(String(headers["content-type"] ?? ""));
}
