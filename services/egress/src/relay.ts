import { setTimeout as sleep } from "node:timers/promises";
import { chunkBytes, Fault, type CallHead } from "@sluice/contracts";
import type { ActiveCall, Ending } from "./active-call.ts";
import { checkAnswer } from "./answer-check.ts";
import type { Exchange, ReceivedHeaders } from "@sluice/relay";
import { unswayed } from "./definitions/unswayed.ts";
import { abandon, forward } from "./forward.ts";
import { isStreamAnswer, relayedHeaders } from "./headers.ts";
import { hideListed, hideWatched, isListMethod, type ListFilter } from "./messages.ts";
import type { Principals } from "./principals.ts";
import { tooLarge, type Replies } from "./replies.ts";
import type { PageHashes, RelayedTools } from "./definitions/relayed-tools.ts";
import { sessionHeader } from "./stream-head.ts";
import { StreamRelay, type StreamSource } from "./stream-relay.ts";
import { clientClassOf, type KeptPage, type ListPage, type ListPages } from "./list-pages.ts";
import type { Upstream, Upstreams } from "./upstreams.ts";

export interface RelayOptions {
  readonly upstreams: Upstreams;
  readonly principals: Principals;
  readonly replies: Replies;
  readonly maxListBytes: number;
  readonly maxAnswerBytes: number;
  readonly pages: ListPages;
  readonly tools: RelayedTools;
  /** Told when an upstream says by this notification that a list has changed. */
  readonly onChange: (place: { tenant: string; server: string }, method: string) => void;
  /** Whether what an upstream refused so is to be tried in another way; what it refused it did not do. */
  readonly isTakenOver: (call: ActiveCall, refusal: { status: number; body: Buffer }) => Promise<boolean>;
}

/** How long an upstream may take to see that a stream has ended. */
const releasedMs = 200;

interface Carried {
  readonly call: ActiveCall;
  /** The body, or its part that came with the call. */
  readonly inline: Buffer;
  readonly traceparent: string;
}

interface Answer {
  readonly call: ActiveCall;
  readonly exchange: Exchange;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly page: ListPage | undefined;
}

/** An answer that is streamed; what is known of it where it is a page that was kept. */
type Streamed = Omit<Answer, "exchange"> & { readonly exchange: StreamSource; readonly kept?: PageHashes };

/** Carries calls to one upstream of the agent's own era and their answers back, byte for byte. */
export class Relay {
  readonly #options: RelayOptions;

  constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** Resolves with nothing where the call is to be carried out in another way. @throws Fault where there is no answer. */
  async carry({ call, inline, traceparent }: Carried): Promise<Ending | undefined> {
    const { upstreams } = this.#options;
    const { head } = call;
    const upstream = upstreams.find(head.tenant, head.server);
    if (upstream === undefined)
      throw new Fault("upstream_failed", `the server ${head.server} is not usable: see the log of egress`);
    const { toolDefinitions = "off" } = upstream.endpoint;
    if (toolDefinitions !== "off") await this.#options.tools.admit(call, inline);
    const page = isListMethod(head.method) ? this.#options.pages.of(head, upstream.endpoint, inline) : undefined;
    const kept = page === undefined ? undefined : await page.answer();
    if (kept !== undefined) return await this.#reply(call, kept);
    try {
      return await this.#forward({ call, inline, traceparent }, { upstream, page });
    } finally {
      page?.done();
    }
  }

  async #forward(
    { call, inline, traceparent }: Carried,
    { upstream, page }: { upstream: Upstream; page: ListPage | undefined },
  ): Promise<Ending | undefined> {
    const { replies, maxAnswerBytes } = this.#options;
    const { head } = call;
    const connections = call.listening ? upstream.streams : upstream.calls;
    connections.requireRoom();
    const sent = { ...head, headers: unswayed(head.method, head.headers, upstream.endpoint) };
    const begin = (body: Parameters<typeof forward>[0]["body"]) =>
      forward({ head: sent, upstream, connections, body, traceparent });
    let exchange =
      head.method === "subscriptions/listen"
        ? await this.#subscribe({ call, inline, traceparent }, upstream)
        : begin(head.chunked === undefined ? (head.http === "POST" ? inline : null) : replies.receiveBody(call));
    call.attach(exchange);
    let { status, headers } = await exchange.head;
    if (status === 409 && head.http === "GET") {
      // The stream that this one takes over from is about to be let go of.
      drop(exchange, new Fault("client_left", "once more"));
      await sleep(releasedMs);
      exchange = begin(null);
      call.attach(exchange);
      ({ status, headers } = await exchange.head);
    }
    call.lastActivity = Date.now();
    if (status >= 300 && status < 400)
      throw drop(exchange, new Fault("upstream_failed", `the upstream redirects (${status})`));
    if (Number(headers["content-length"]) > maxAnswerBytes) throw drop(exchange, tooLarge());
    try {
      const relayed = relayedHeaders(headers);
      if (head.session !== undefined || headers[sessionHeader] !== undefined)
        Object.assign(relayed, await this.#session({ call, inline, traceparent }, { status, headers }));
      const answer = { call, exchange, status, headers: relayed, page };
      return isStreamAnswer(status, headers) ? await this.#stream(answer) : await this.#unary(answer);
    } catch (error) {
      const given = headers[sessionHeader];
      if (head.session === undefined && typeof given === "string") abandon(given, { head, upstream, traceparent });
      throw error;
    }
  }

  /** What an agent may not read it cannot watch: it is left out of what the upstream is asked for. */
  async #subscribe({ call, inline, traceparent }: Carried, upstream: Upstream): Promise<Exchange> {
    const { principals, replies } = this.#options;
    const { chunked: _chunked, ...head } = call.head;
    const body = await hideWatched(await replies.bodyOf(call, inline), principals.listFilter(call.head));
    return forward({ head, upstream, connections: upstream.streams, body, traceparent });
  }

  /** Exchanges the upstream's session id for the client's, and forgets a session that the upstream ended. */
  async #session(
    { call, inline }: Carried,
    { status, headers }: { status: number; headers: ReceivedHeaders },
  ): Promise<Record<string, string>> {
    const { principals } = this.#options;
    const { head } = call;
    const given = headers[sessionHeader];
    if (head.session === undefined) {
      if (typeof given !== "string" || status >= 300) return {};
      const clientClass =
        head.method === "initialize" && head.chunked === undefined ? clientClassOf(inline) : undefined;
      const kept = clientClass === undefined ? {} : { clientClass };
      return { [sessionHeader]: (await principals.openSession(head, given, kept)).session };
    }
    const ended = status === 404 || (head.http === "DELETE" && status < 300);
    if (ended) await principals.endSession(head.session.id);
    return given === undefined ? {} : { [sessionHeader]: head.session.id };
  }

  async #stream(answer: Streamed): Promise<Ending> {
    const { replies, maxListBytes, onChange } = this.#options;
    const { call, page } = answer;
    const { tenant, server } = call.head;
    const mayList = isListMethod(call.head.method) || call.listening;
    const filter = mayList ? this.#filter(call.head, answer.kept) : undefined;
    return await new StreamRelay({
      writer: replies.stream(call, answer),
      maxListBytes,
      ...answer,
      onAnswer: (bytes) => page?.take(bytes, { inStream: true }),
      onChange: (method) => onChange({ tenant, server }, method),
      ...(filter !== undefined && { filter }),
    }).run();
  }

  /** Answers with a page that is kept, in the form it came in. */
  async #reply(call: ActiveCall, kept: KeptPage): Promise<Ending> {
    const { replies } = this.#options;
    const { bytes, hashes, inStream } = kept;
    if (inStream) {
      const headers = { "content-type": "text/event-stream" };
      return await this.#stream({
        call,
        exchange: eventOf(bytes),
        status: 200,
        headers,
        page: undefined,
        kept: hashes,
      });
    }
    const body = await hideListed(bytes, this.#filter(call.head, hashes));
    const headers = { "content-type": "application/json" };
    return { ...(await replies.whole(call, { status: 200, headers, body })), isError: false };
  }

  #filter(head: CallHead, kept?: PageHashes): ListFilter {
    const { principals, tools } = this.#options;
    return tools.filter(head, principals.listFilter(head), kept);
  }

  async #unary({ call, exchange, status, headers, page }: Answer): Promise<Ending | undefined> {
    const { replies, maxListBytes, isTakenOver } = this.#options;
    const isList = isListMethod(call.head.method) && status < 300;
    const { bytes, complete } = await exchange.collect(isList ? maxListBytes : chunkBytes);
    if (!complete) {
      if (isList) throw drop(exchange, new Fault("upstream_failed", "the upstream's list is too large"));
      const stop = (fault: Fault) => exchange.abort(fault);
      return await replies.large(call, { status, headers }, { start: bytes, rest: exchange, stop });
    }
    const mayTakeOver = status >= 400 && call.head.chunked === undefined;
    if (mayTakeOver && (await isTakenOver(call, { status, body: bytes }))) return undefined;
    const observed = checkAnswer(bytes, status, call.head.rpcId);
    if (status === 200) page?.take(bytes, { inStream: false });
    const body = isList && bytes.length > 0 ? await hideListed(bytes, this.#filter(call.head)) : bytes;
    if (body === bytes) call.record.seen(observed?.said);
    const ending = await replies.whole(call, { status, headers, body });
    return { ...ending, ...(observed?.answers !== undefined && { isError: observed.isError }) };
  }
}

/** What an upstream sends that streams this one message. */
function eventOf(data: Buffer): StreamSource {
  const lines = data.toString("utf8").split("\n");
  const event = Buffer.from(`event: message\n${lines.map((line) => `data: ${line}\n`).join("")}\n`);
  return {
    async *[Symbol.asyncIterator]() {
      yield await Promise.resolve(event);
    },
    abort: () => {},
  };
}

function drop(exchange: Exchange, fault: Fault): Fault {
  exchange.abort(fault);
  return fault;
}
