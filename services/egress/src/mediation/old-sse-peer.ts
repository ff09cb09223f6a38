import { Fault } from "@sluice/contracts";
import { Correspondence } from "./correspondence.ts";
import { legacyVersion } from "./legacy-peer.ts";
import { aboutOf } from "./modern-peer.ts";
import type { About, Client, Ids, Peer, Sink, Wanted } from "./peer.ts";
import { parseJson, readMessage, type Members, type Request } from "./rpc.ts";
import { aborted, HttpRefusal, send, type Line, type Received } from "./wire.ts";

const goodbyeMs = 5_000;

export interface OldSsePeerOptions {
  readonly line: Line;
  readonly ids: Ids;
}

/** One connection to an upstream of the old HTTP+SSE transport (MCP 2024-11-05, Transports); it is the session. */
export class OldSsePeer implements Peer {
  readonly #path: string;
  readonly #correspondence: Correspondence;
  readonly #end = new AbortController();
  #about: About = { capabilities: {}, serverInfo: {} };
  #over = false;
  #line: Line;
  #attached: Sink | undefined;
  readonly #working: Sink[] = [];

  private constructor(options: OldSsePeerOptions, path: string) {
    this.#line = options.line;
    this.#path = path;
    this.#correspondence = new Correspondence(options.ids, (message, signal) => this.#post(message, signal));
  }

  /** Connects and introduces the client. @throws Fault where the address is no such endpoint. */
  static async open(options: OldSsePeerOptions, client: Client, signal: AbortSignal): Promise<OldSsePeer> {
    const end = new AbortController();
    const headers = { accept: "text/event-stream" };
    const received = await send(options.line, { http: "GET", headers, signal: end.signal });
    const events = received.events();
    const onAbort = () => end.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const first = await events.next();
      if (!received.isStream || first.done === true || first.value.type !== "endpoint")
        throw new Fault("upstream_failed", "the upstream speaks no transport that is known");
      const path = endpointPath(options.line, first.value.data.toString("utf8"));
      const peer = new OldSsePeer(options, path);
      peer.#end.signal.addEventListener("abort", () => end.abort(), { once: true });
      void peer.#read(events);
      await peer.#initialize(client, signal);
      return peer;
    } catch (error) {
      end.abort();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  get server(): string {
    return this.#line.upstream.endpoint.name;
  }

  get isOver(): boolean {
    return this.#over;
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
    return Promise.resolve(this.#about);
  }

  async request(request: Request, sink: Sink): Promise<Members> {
    this.#working.push(sink);
    try {
      return await this.#correspondence.request(request, sink, async (message) => {
        await this.#post(message, sink.signal);
        await new Promise(() => {});
      });
    } finally {
      this.#working.splice(this.#working.indexOf(sink), 1);
    }
  }

  async notify(notice: Request): Promise<void> {
    await this.#post({ jsonrpc: "2.0", ...notice }, AbortSignal.timeout(goodbyeMs));
  }

  async listen(wanted: Wanted, sink: Sink): Promise<void> {
    for (const uri of wanted.resourceSubscriptions ?? [])
      await this.request({ method: "resources/subscribe", params: { uri } }, sink);
    this.#attached = sink;
    await aborted(AbortSignal.any([sink.signal, this.#end.signal]));
    if (this.#attached === sink) this.#attached = undefined;
  }

  close(): Promise<void> {
    this.#end.abort();
    return Promise.resolve();
  }

  /** Whom a word of the upstream concerns: on one stream for everything, the last request under way comes closest. */
  get #concerned(): Sink | undefined {
    return this.#working.at(-1) ?? this.#attached;
  }

  async #initialize(client: Client, signal: AbortSignal): Promise<void> {
    const sink: Sink = { signal, notify: () => {}, ask: () => Promise.reject(new Fault("internal", "too early")) };
    const params = { protocolVersion: legacyVersion, capabilities: client.capabilities, clientInfo: client.info };
    this.#about = aboutOf(await this.request({ method: "initialize", params }, sink));
    await this.notify({ method: "notifications/initialized" });
    if (client.logLevel !== undefined && this.#about.capabilities["logging"] !== undefined)
      await this.request({ method: "logging/setLevel", params: { level: client.logLevel } }, sink).catch(() => {});
  }

  async #read(events: ReturnType<Received["events"]>): Promise<void> {
    const sink: Sink = {
      signal: this.#end.signal,
      notify: (notice) => this.#concerned?.notify(notice),
      ask: (request) => this.#concerned?.ask(request) ?? Promise.reject(new Fault("client_left", "nobody is there")),
    };
    try {
      for await (const { type, data } of events)
        if (type === "message" && data.length > 0) this.#correspondence.take(readMessage(parseJson(data)), sink);
    } catch {
      // Whoever waits for an answer is told below.
    }
    this.#over = true;
    this.#end.abort();
    this.#correspondence.fail(new Fault("upstream_failed", "the connection to the upstream was lost"));
  }

  async #post(message: unknown, signal: AbortSignal): Promise<void> {
    const headers = { accept: "application/json, text/event-stream" };
    const received = await send(this.#line, { http: "POST", message, headers, signal, path: this.#path });
    received.drop();
    if (received.status >= 300) throw new HttpRefusal(received.status);
  }
}

/** Where messages go; never to another origin (MCP 2024-11-05, HTTP with SSE). */
function endpointPath({ upstream }: Line, endpoint: string): string {
  const base = new URL(upstream.endpoint.url);
  const url = URL.parse(endpoint, base.href);
  if (url === null || url.origin !== base.origin)
    throw new Fault("upstream_failed", "the upstream names an endpoint of another origin");
  return url.pathname + url.search;
}
