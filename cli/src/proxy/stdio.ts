import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault, rpcErrorOf, toFault } from "@sluice/contracts";
import { SseReader, type Exchange } from "@sluice/relay";
import type { Log } from "@sluice/telemetry";
import { readMessage, type Message } from "./stdio-message.ts";
import { reporter } from "./report.ts";
import type { Settings } from "./settings.ts";
import { timedOut, type Upstream } from "./upstream.ts";

export interface StdioParts {
  readonly settings: Settings;
  readonly upstream: Upstream;
  readonly log: Log;
  readonly stop: AbortSignal;
}

/** What an answer may have. */
const mostBytes = 64 * 1024 * 1024;
/** Until the stream of the server's own messages is opened again. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
const endMs = 2_000;
const sessionField = "mcp-session-id";
const left = new Fault("client_left", "nobody waits for it any more");

/**
 * Serves a client that speaks MCP by standard input and output (a message a line), and speaks Streamable HTTP to the upstream in
 * its place, of either era. Messages go on as they are.
 */
export async function serveStdio(parts: StdioParts, from: Readable = process.stdin, to: Writable = process.stdout) {
  const lines = createInterface({ input: from, crlfDelay: Infinity });
  const session = new StdioSession(parts, (text) => void to.write(`${text.replaceAll(/[\r\n]+/g, " ")}\n`));
  parts.log.info({ upstream: parts.upstream.origin }, "ready");
  parts.stop.addEventListener("abort", () => lines.close(), { once: true });
  if (parts.stop.aborted) lines.close();
  for await (const line of lines) if (line.trim() !== "") await session.take(line);
  await session.end();
  // An open standard input would keep the process.
  from.destroy();
}

class StdioSession {
  readonly #parts: StdioParts;
  readonly #say: (text: string) => void;
  readonly #report: ReturnType<typeof reporter>;
  readonly #underWay = new Map<string, Exchange>();
  readonly #all = new Set<Promise<void>>();
  #session: string | undefined;
  #version: string | undefined;
  #isOver = false;
  #listening: Exchange | undefined;

  constructor(parts: StdioParts, say: (text: string) => void) {
    this.#parts = parts;
    this.#say = say;
    const { MCP_API_KEY, MCP_API_SECRET } = parts.settings;
    this.#report = reporter(parts.log, [MCP_API_SECRET, MCP_API_KEY]);
  }

  /** Resolves when the next message may go: requests are many at a time, what they build on comes first. */
  async take(line: string): Promise<void> {
    const message = readMessage(line);
    if (message instanceof Fault) return this.#say(faultLine("null", message));
    if (message.cancels !== undefined && message.version !== undefined)
      return this.#underWay.get(message.cancels)?.abort(left);
    const carried = this.#carry(line, message);
    this.#all.add(carried);
    void carried.finally(() => this.#all.delete(carried));
    if (message.id === undefined || message.method === "initialize") await carried;
    if (message.method === "notifications/initialized" && message.version === undefined) void this.#listen();
  }

  /** Lets what is under way finish, for a moment, and ends the session. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#listening?.abort(left);
    await Promise.race([Promise.all(this.#all), sleep(endMs, undefined, { ref: false })]);
    for (const exchange of this.#underWay.values()) exchange.abort(left);
    if (this.#session === undefined) return;
    const exchange = this.#send("DELETE", null, {});
    await Promise.race([exchange.head.catch(() => {}), sleep(endMs, undefined, { ref: false })]);
    exchange.abort(left);
  }

  async #carry(line: string, message: Message): Promise<void> {
    const { id, method = "" } = message;
    const startedAt = performance.now();
    const about = { method: "POST", target: "/mcp", startedAt };
    try {
      const exchange = this.#send("POST", Buffer.from(line), message.headers);
      if (id !== undefined) this.#underWay.set(id, exchange);
      const { status, headers } = await this.#within(exchange);
      const given = headers[sessionField];
      if (method === "initialize" && typeof given === "string") this.#session = given;
      const text = await this.#relay(exchange, headers);
      this.#report(about, { status, headers, ...(status >= 400 && { start: text?.slice(0, 512) ?? "" }) });
      if (text !== undefined) this.#answer(text, { status, message });
    } catch (error) {
      const fault = toFault(error);
      this.#report(about, { fault });
      if (id !== undefined && fault !== left) this.#say(faultLine(id, fault));
    } finally {
      if (id !== undefined) this.#underWay.delete(id);
    }
  }

  #answer(text: string, { status, message: { id, method } }: { status: number; message: Message }): void {
    const answered = text === "" ? undefined : readMessage(text);
    const isMessage = answered !== undefined && !(answered instanceof Fault);
    if (isMessage) {
      if (method === "initialize") this.#version = answered.agreedVersion ?? this.#version;
      this.#say(text);
    } else if (id !== undefined) this.#say(faultLine(id, unanswered(status)));
  }

  /** The whole body; each event of a stream is said as it comes, and nothing is left then. */
  async #relay(exchange: Exchange, headers: Record<string, string | string[] | undefined>) {
    if (!/^text\/event-stream\s*(?:;|$)/i.test(String(headers["content-type"] ?? ""))) {
      const { bytes, complete } = await exchange.collect(mostBytes);
      if (complete) return bytes.toString("utf8");
      exchange.abort(left);
      throw new Fault("upstream_failed", "the upstream's answer is too large");
    }
    const reader = new SseReader(mostBytes);
    for await (const chunk of exchange) {
      for (const { data, endsEvent } of reader.push(chunk)) {
        if (data === undefined || !endsEvent) throw new Fault("upstream_failed", "the upstream's event is too large");
        if (data.length === 0) continue;
        const text = data.toString("utf8");
        const message = readMessage(text);
        if (!(message instanceof Fault)) this.#version = message.agreedVersion ?? this.#version;
        this.#say(text);
      }
    }
    return undefined;
  }

  /** The server's own messages, where it has a stream of them (legacy era). */
  async #listen(): Promise<void> {
    for (let pauseMs = firstPauseMs; !this.#isOver; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        const exchange = (this.#listening = this.#send("GET", null, { accept: "text/event-stream" }));
        const { status, headers } = await this.#within(exchange);
        if (status !== 200) return exchange.abort(left);
        await this.#relay(exchange, headers);
        pauseMs = firstPauseMs;
      } catch {
        // It is opened again below.
      }
      await sleep(pauseMs, undefined, { signal: this.#parts.stop, ref: false }).catch(() => {});
    }
  }

  #send(method: "GET" | "POST" | "DELETE", body: Buffer | null, headers: Readonly<Record<string, string>>): Exchange {
    const sent = {
      accept: "application/json, text/event-stream",
      ...(body !== null && { "content-type": "application/json", "content-length": String(body.length) }),
      ...(this.#session !== undefined && { [sessionField]: this.#session }),
      ...(this.#version !== undefined && { "mcp-protocol-version": this.#version }),
      ...headers,
    };
    return this.#parts.upstream.send({ method, target: "/mcp", headers: sent, body });
  }

  async #within(exchange: Exchange): Exchange["head"] {
    const timeoutMs = this.#parts.settings.UPSTREAM_RESPONSE_TIMEOUT_MS;
    const timer = timeoutMs > 0 ? setTimeout(() => exchange.abort(timedOut("did not answer")), timeoutMs) : undefined;
    return await exchange.head.finally(() => clearTimeout(timer));
  }
}

function unanswered(status: number): Fault {
  return new Fault("upstream_failed", `the upstream answered with ${status} and no message`, {
    details: { status },
  });
}

function faultLine(id: string, fault: Fault): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(rpcErrorOf(fault))}}`;
}
