import { setTimeout as sleep } from "node:timers/promises";
import { Fault, rpcErrorOf, toFault } from "@sluice/contracts";
import type { Exchange } from "@sluice/relay";
import { isAnswerTo, readMessage, type Message } from "./stdio-message.ts";
import { StdioLink, type Heard } from "./stdio-link.ts";
import { reporter, type Told } from "./report.ts";
import type { StdioParts } from "./stdio.ts";

/** Until the stream of the server's own messages is opened again. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
const left = new Fault("client_left", "nobody waits for it any more");
const stopped = new Fault("upstream_timeout", "the proxy stopped before the upstream answered");

/** A client's message on its way, and what became of it. */
interface Asked {
  readonly line: Buffer;
  readonly message: Message;
  isAnswered: boolean;
}

/** One client's conversation: what order it keeps, which answer belongs to what, and the session at the upstream. */
export class StdioSession {
  readonly #parts: StdioParts;
  readonly #say: (text: string) => Promise<void>;
  readonly #report: ReturnType<typeof reporter>;
  readonly #link: StdioLink;
  readonly #calls = new Map<string, { exchange: Exchange; isModern: boolean }>();
  readonly #all = new Set<Promise<void>>();
  /** What everything that comes later builds on. */
  #opening: Promise<unknown> = Promise.resolve();
  /** Notifications and answers of the client keep their order. */
  #told: Promise<unknown> = Promise.resolve();
  #initialize: Asked | undefined;
  #initialized: Asked | undefined;
  #renewal: Promise<boolean> | undefined;
  #isOver = false;

  constructor(parts: StdioParts, say: (text: string) => Promise<void>) {
    this.#parts = parts;
    this.#say = say;
    this.#link = new StdioLink(parts);
    const { MCP_API_KEY, MCP_API_SECRET } = parts.settings;
    this.#report = reporter(parts.log, [MCP_API_SECRET, MCP_API_KEY]);
  }

  /** Says of a line that it does not go on. */
  refuse(fault: Fault): void {
    void this.#say(faultLine("null", fault));
  }

  /** Sends a message on as soon as what it builds on has gone; calls do not wait for each other. */
  take(line: Buffer): void {
    const message = readMessage(line);
    if (message instanceof Fault) return this.refuse(message);
    if (message.cancels !== undefined && this.#cancelled(message.cancels)) return;
    const asked = { line, message, isAnswered: false };
    const isTold = (message.id ?? message.cancels ?? message.isBatch) === undefined;
    const carried = Promise.all([this.#opening, isTold && this.#told]).then(() => this.#carry(asked));
    if (message.method === "initialize") [this.#initialize, this.#opening] = [asked, carried];
    else if (message.method === "notifications/initialized") [this.#initialized, this.#opening] = [asked, carried];
    else if (isTold) this.#told = carried;
    this.#all.add(carried);
    void carried.finally(() => this.#all.delete(carried));
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#all.size > 0) await Promise.all(this.#all);
  }

  /** Cuts off what is under way, and ends the session at the upstream. */
  async end(withinMs: number): Promise<void> {
    this.#isOver = true;
    this.#link.abort(stopped);
    await this.settled();
    await this.#link.close(withinMs);
  }

  /** In the modern era the connection's end says it; in the legacy era the upstream is told. */
  #cancelled(id: string): boolean {
    const call = this.#calls.get(id);
    if (call?.isModern !== true) return false;
    call.exchange.abort(left);
    return true;
  }

  async #carry(asked: Asked): Promise<void> {
    const { id, method } = asked.message;
    const about = { method: "POST", target: "/mcp", startedAt: performance.now() };
    try {
      if (this.#isOver) throw stopped;
      let heard = await this.#ask(asked, (text) => this.#pass(text, asked));
      if (heard.status === 404 && heard.session !== undefined && (await this.#renew(heard.session)))
        heard = await this.#ask(asked, (text) => this.#pass(text, asked));
      const fault = await this.#answer(asked, heard);
      this.#report(about, { ...toldOf(heard), ...(fault !== undefined && heard.status < 400 && { fault }) });
      if (method === "notifications/initialized") void this.#listen();
    } catch (error) {
      const fault = toFault(error);
      this.#report(about, { fault });
      if (id !== undefined && fault !== left && !asked.isAnswered) await this.#say(faultLine(id, fault));
    }
  }

  async #ask({ line, message }: Asked, onEvent: (text: Buffer) => Promise<void>): Promise<Heard> {
    const { id, version } = message;
    try {
      return await this.#link.post(line, {
        headers: message.headers,
        opens: message.method === "initialize",
        onEvent,
        onSent: (exchange) => id !== undefined && this.#calls.set(id, { exchange, isModern: version !== undefined }),
      });
    } finally {
      if (id !== undefined) this.#calls.delete(id);
    }
  }

  /** Says what came as one body; the fault says why the client's request has no answer of the upstream's own. */
  async #answer(asked: Asked, { status, body }: Heard): Promise<Fault | undefined> {
    const { id, isBatch } = asked.message;
    if (body !== undefined && body.length > 0 && (id !== undefined || isBatch)) {
      const message = readMessage(body);
      const isMeant = !(message instanceof Fault) && (id === undefined || isAnswerTo(id, message));
      if (isMeant) await this.#pass(body, asked);
    }
    if (asked.isAnswered || (id === undefined && !(isBatch && status >= 400))) return undefined;
    const fault = unanswered(status);
    await this.#say(faultLine(id ?? "null", fault));
    return fault;
  }

  #note(message: Message | Fault): void {
    if (!(message instanceof Fault)) this.#link.version = message.agreedVersion ?? this.#link.version;
  }

  async #pass(text: Buffer, asked?: Asked): Promise<void> {
    const message = readMessage(text);
    if (message instanceof Fault) return this.#parts.log.warn({ reason: message.message }, "no message: left out");
    if (asked?.message.method === "initialize") this.#note(message);
    const id = asked?.message.id;
    if (asked !== undefined && (id === undefined || isAnswerTo(id, message))) asked.isAnswered = true;
    const isNameless = id !== undefined && message.answers === "null" && message.error !== undefined;
    await this.#say(isNameless ? `{"jsonrpc":"2.0","id":${id},"error":${message.error}}` : text.toString("utf8"));
  }

  /** Opens another session in place of one that the upstream has ended (MCP 2025-11-25, Session Management), as the client did. */
  #renew(ended: string): Promise<boolean> {
    if (this.#renewal !== undefined) return this.#renewal;
    if (this.#link.session !== ended) return Promise.resolve(this.#link.session !== undefined);
    const renewal = this.#reopen().finally(() => (this.#renewal = undefined));
    this.#renewal = renewal;
    this.#opening = renewal.catch(() => {});
    return renewal;
  }

  async #reopen(): Promise<boolean> {
    const [initialize, initialized] = [this.#initialize, this.#initialized];
    if (initialize === undefined) return false;
    [this.#link.session, this.#link.version] = [undefined, undefined];
    const note = async (text: Buffer) => this.#note(readMessage(text));
    const { body } = await this.#ask(initialize, note);
    if (body !== undefined) await note(body);
    if (this.#link.session === undefined) return false;
    if (initialized !== undefined) await this.#ask(initialized, async () => {});
    this.#parts.log.info("the upstream has ended the session: another one is open");
    if (initialized !== undefined) void this.#listen();
    return true;
  }

  /** The server's own messages, where it has a stream of them (legacy era). */
  async #listen(): Promise<void> {
    const { session } = this.#link;
    for (let pauseMs = firstPauseMs; !this.#isOver; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        const { status } = await this.#link.listen((text) => this.#pass(text));
        if (status >= 300 && status < 500) return;
        if (status === 200) pauseMs = firstPauseMs;
      } catch {
        // It is opened again below.
      }
      await sleep(pauseMs, undefined, { signal: this.#parts.stop, ref: false }).catch(() => {});
      if (this.#link.session !== session) return;
    }
  }
}

function toldOf({ status, headers, body }: Heard): Told {
  return { status, headers, ...(status >= 400 && body !== undefined && { start: body.toString("utf8", 0, 8_192) }) };
}

function unanswered(status: number): Fault {
  return new Fault("upstream_failed", `the upstream answered with ${status} and no message`, { details: { status } });
}

function faultLine(id: string, fault: Fault): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(rpcErrorOf(fault))}}`;
}
