import type { IncomingMessage, ServerResponse } from "node:http";
import { asBuffer, Fault, toFault } from "@sluice/contracts";
import { isEventStream, type Exchange } from "@sluice/relay";
import { relayedFields, type ClientFields } from "./fields.ts";
import { beat, listensInVain, type Beats } from "./heartbeat.ts";
import { endOf, type Told } from "./report.ts";
import type { Settings } from "./settings.ts";
import type { Sent, Upstream } from "./upstream.ts";
import { headWithin, SilenceWatch } from "./waiting.ts";

/** A body of up to so many bytes goes on in one piece, which costs less than a stream. */
const smallBytes = 256 * 1024;
const withoutBody = new Set(["GET", "HEAD"]);
export const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;

export interface AttemptParts {
  readonly settings: Settings;
  readonly upstream: Upstream;
  readonly fields: ClientFields;
  readonly beats: Beats;
}

/**
 * Carries one request to the upstream, once, and what comes back to the client: status, fields and body as they are. What the
 * client can be told no more breaks its connection off.
 * @throws Fault where the upstream gave no answer and nothing was written yet.
 */
export async function carry(request: IncomingMessage, response: ServerResponse, parts: AttemptParts): Promise<Told> {
  const { upstream } = parts;
  const exchange = upstream.send(await sentOf(request, parts));
  response.once("close", () => {
    if (!response.writableFinished) exchange.abort(left());
  });
  try {
    return await answered(exchange, { request, response, parts });
  } catch (error) {
    exchange.abort(left());
    throw error;
  }
}

interface Answering {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly parts: AttemptParts;
}

async function answered(exchange: Exchange, { request, response, parts }: Answering): Promise<Told> {
  const { settings, beats } = parts;
  const { status, headers } = await headWithin(exchange, settings.UPSTREAM_RESPONSE_TIMEOUT_MS);
  if (listensInVain(request, status)) {
    exchange.abort(left());
    await beat(response, beats);
    return { status, heartbeat: true };
  }
  response.writeHead(status, relayedFields(headers));
  using watch = new SilenceWatch(exchange, headers, settings.UPSTREAM_IDLE_TIMEOUT_MS);
  const stopped = new Fault("client_left", "the proxy stops");
  const stop = () => exchange.abort(stopped);
  // Whoever listens would do so for ever.
  const isListening = request.method === "GET" && isEventStream(headers);
  if (isListening) beats.stop.addEventListener("abort", stop);
  if (isListening && beats.stop.aborted) stop();
  try {
    return { status, headers, ...(await relayBody(exchange, response, { keep: status >= 400, watch })) };
  } catch (error) {
    if (error === stopped) response.end();
    else response.destroy();
    return { status, headers, ...(error !== stopped && { fault: toFault(error) }) };
  } finally {
    beats.stop.removeEventListener("abort", stop);
  }
}

async function sentOf(request: IncomingMessage, { settings, fields }: AttemptParts): Promise<Sent> {
  const method = request.method as Sent["method"];
  const headers = fields.forwarded(request.headers);
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

/** By events: an async iterator costs more than the rest of a small request. */
function collected(request: IncomingMessage, limit: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const parts: Buffer[] = [];
  let size = 0;
  request.on("data", (part: Buffer) => {
    size += part.length;
    if (size > limit) return reject(tooLarge(limit));
    parts.push(part);
  });
  request.once("end", () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)));
  request.once("close", () => {
    if (!request.complete) reject(left());
  });
  return promise;
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
    gatherWrites(response);
    if (response.write(chunk)) continue;
    watch.isReading = true;
    await drained(response);
    watch.isReading = false;
  }
  response.end();
  return { bytes, ...(keep && { start: end.start() }) };
}

/** What is written until the end of this turn leaves in one write to the socket. */
function gatherWrites({ socket }: ServerResponse): void {
  if (socket === null || socket.writableCorked > 0) return;
  socket.cork();
  setImmediate(() => socket.uncork());
}

function left(): Fault {
  return new Fault("client_left", "the client left");
}

async function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once("drain", resolve).once("close", resolve);
  await promise;
  response.off("drain", resolve).off("close", resolve);
}
