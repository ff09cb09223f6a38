import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "@sluice/contracts";
import { Correspondence } from "./correspondence.ts";
import { aboutOf } from "./modern-peer.ts";
import type { About, Client, Ids, Peer, Sink, Wanted } from "./peer.ts";
import { resultOf, type Members, type Request, type RpcMessage } from "./rpc.ts";
import { HttpRefusal, send, type Line, type Received, type Sending } from "./wire.ts";

export const legacyVersion = "2025-11-25";
const accept = "application/json, text/event-stream";
const maxResumptions = 1_000;
const defaultRetryMs = 1_000;
/** Whatever the upstream says: it is not asked more often, or less often, than so. */
const shortestRetryMs = 500;
const longestRetryMs = 30_000;
const goodbyeMs = 5_000;

/** What has to be known to go on with a session. */
export interface LegacySession {
  /** Absent where the upstream keeps no sessions. */
  readonly id?: string;
  readonly version: string;
  readonly about: About;
}

export interface LegacyPeerOptions {
  readonly line: Line;
  readonly ids: Ids;
}

/** The upstream does not know the session (any more): a new one has to be opened. */
export class SessionExpired extends Fault {
  constructor(server: string) {
    super("upstream_failed", `the session with the server '${server}' has ended`);
  }
}

/** One session with an upstream of the legacy era over Streamable HTTP (MCP 2025-11-25, Transports). */
export class LegacyPeer implements Peer {
  readonly session: LegacySession;
  readonly #correspondence: Correspondence;
  #line: Line;
  readonly #end = new AbortController();
  /** Hears what the upstream says of its own accord; whoever uses the session at the moment. */
  #attached: Sink | undefined;

  constructor(options: LegacyPeerOptions, session: LegacySession) {
    this.#line = options.line;
    this.session = session;
    this.#correspondence = new Correspondence(options.ids, (message, signal) => this.#post(message, signal));
  }

  /** Opens a session. @throws HttpRefusal where this is no such upstream; RpcError where it refuses the client. */
  static async open(options: LegacyPeerOptions, client: Client, signal: AbortSignal): Promise<LegacyPeer> {
    const id = options.ids.next();
    const params = { protocolVersion: legacyVersion, capabilities: client.capabilities, clientInfo: client.info };
    const received = await send(options.line, {
      http: "POST",
      message: { jsonrpc: "2.0", id, method: "initialize", params },
      headers: { accept },
      signal,
    });
    const result = resultOf(await initializeAnswer(received, id));
    const said = result["protocolVersion"];
    const version = typeof said === "string" ? said : legacyVersion;
    const session = {
      version,
      about: aboutOf(result),
      ...(received.session !== undefined && { id: received.session }),
    };
    const peer = new LegacyPeer(options, session);
    await peer.notify({ method: "notifications/initialized" });
    if (client.logLevel !== undefined && session.about.capabilities["logging"] !== undefined)
      await peer.#setLevel(client.logLevel, signal);
    return peer;
  }

  get server(): string {
    return this.#line.upstream.endpoint.name;
  }

  /** Works for this caller from now on, on connections that an edit of the configuration has left open. */
  attach(line: Line, sink: Sink | undefined): void {
    this.#line = line;
    this.#attached = sink;
  }

  detach(): void {
    this.#attached = undefined;
  }

  about(): Promise<About> {
    return Promise.resolve(this.session.about);
  }

  request(request: Request, sink: Sink): Promise<Members> {
    return this.#correspondence.request(request, sink, (message) => this.#exchange(message, sink));
  }

  async notify(notice: Request): Promise<void> {
    const signal = AbortSignal.timeout(goodbyeMs);
    await this.#post({ jsonrpc: "2.0", ...notice }, signal);
  }

  async listen(wanted: Wanted, sink: Sink): Promise<void> {
    for (const uri of wanted.resourceSubscriptions ?? [])
      await this.request({ method: "resources/subscribe", params: { uri } }, sink);
    let resumeFrom: string | undefined;
    for (let failures = 0; !sink.signal.aborted; failures++) {
      const headers = { accept: "text/event-stream" };
      let retryMs = Math.min(defaultRetryMs * 2 ** failures, longestRetryMs);
      try {
        const received = await this.#send({ http: "GET", headers, resumeFrom }, sink.signal);
        if (received.status === 404) throw this.#expired(received);
        if (received.status === 405 || !received.isStream) return received.drop();
        for await (const message of received.messages()) {
          failures = 0;
          this.#correspondence.take(message, sink);
          await sink.room?.();
        }
        resumeFrom = received.lastEventId ?? resumeFrom;
        retryMs = Math.max(received.retryMs ?? defaultRetryMs, shortestRetryMs);
      } catch (error) {
        if (error instanceof SessionExpired || sink.signal.aborted) throw error;
      }
      await sleep(retryMs, undefined, { signal: sink.signal }).catch(() => {});
    }
  }

  /** Listens for whoever is attached; gives up quietly where the upstream offers no such stream. */
  listenForAttached(signal: AbortSignal, unheard: (notice: Request) => void): void {
    const sink: Sink = {
      signal: AbortSignal.any([signal, this.#end.signal]),
      notify: (notice) => (this.#attached === undefined ? unheard(notice) : this.#attached.notify(notice)),
      ask: (request) => this.#attached?.ask(request) ?? Promise.reject(new Fault("client_left", "nobody is there")),
    };
    this.listen({}, sink).catch(() => {});
  }

  async close(): Promise<void> {
    this.#end.abort();
    if (this.session.id === undefined) return;
    const signal = AbortSignal.timeout(goodbyeMs);
    await this.#send({ http: "DELETE", headers: {} }, signal).then(
      (received) => received.drop(),
      () => {},
    );
  }

  async #setLevel(level: string, signal: AbortSignal): Promise<void> {
    const sink: Sink = { signal, notify: () => {}, ask: () => Promise.reject(new Fault("internal", "too early")) };
    await this.request({ method: "logging/setLevel", params: { level } }, sink).catch(() => {});
  }

  /** Sends a request and hands its stream over, taking it up again where the upstream breaks off on purpose. */
  async #exchange(message: RpcMessage, sink: Sink): Promise<void> {
    const first = await this.#send({ http: "POST", message, headers: { accept } }, sink.signal);
    if (first.status === 404 && this.session.id !== undefined) return await this.#refused(message, first, sink);
    let received = first;
    for (let tries = 0; tries < maxResumptions; tries++) {
      const messages = received.messages();
      for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
        this.#correspondence.take(next.value, sink);
        await sink.room?.();
        if (this.#correspondence.isAnswered(message.id)) return received.letEnd(messages);
      }
      const resumeFrom = received.lastEventId;
      if (resumeFrom === undefined) return;
      const retryMs = Math.max(received.retryMs ?? defaultRetryMs, shortestRetryMs);
      await sleep(retryMs, undefined, { signal: sink.signal });
      received = await this.#send({ http: "GET", headers: { accept: "text/event-stream" }, resumeFrom }, sink.signal);
      if (received.status < 300) continue;
      received.drop();
      throw new Fault("upstream_failed", "the answer broke off; whether the call took effect is unknown");
    }
  }

  /** A 404 means that the session is gone and nothing was done, unless it holds the answer to this very request. */
  async #refused(message: RpcMessage, received: Received, sink: Sink): Promise<void> {
    try {
      for await (const part of received.messages())
        if (part.id === message.id) return this.#correspondence.take(part, sink);
    } catch (error) {
      if (!(error instanceof HttpRefusal)) throw error;
    }
    throw this.#expired(received);
  }

  #expired(received: Received): SessionExpired {
    received.drop();
    return new SessionExpired(this.server);
  }

  async #post(message: unknown, signal: AbortSignal): Promise<void> {
    const received = await this.#send({ http: "POST", message, headers: { accept } }, signal);
    if (received.status === 404 && this.session.id !== undefined) throw this.#expired(received);
    received.drop();
    if (received.status >= 300) throw new HttpRefusal(received.status);
  }

  #send(sending: Omit<Sending, "session" | "signal">, signal: AbortSignal): Promise<Received> {
    const { id, version } = this.session;
    const headers = { ...sending.headers, "mcp-protocol-version": version };
    return send(this.#line, { ...sending, headers, session: id, signal });
  }
}

async function initializeAnswer(received: Received, id: unknown): Promise<RpcMessage> {
  for await (const message of received.messages())
    if (message.method === undefined && (message.id === id || message.error !== undefined)) return message;
  throw new Fault("upstream_failed", "the upstream did not answer initialize");
}
