import { BodyReceiver, sendBody, type Bus, type Incoming, type OutcomeLog, type SectionMap } from "@sluice/bus";
import {
  chunkBytes,
  decodeHeadAndBody,
  decodeJson,
  encodeHeadAndBody,
  Fault,
  toFault,
  type CallHead,
  type OwnVerb,
  type OwnWord,
  type ReplyHead,
} from "@sluice/contracts";
import { describeError, startSpan, type Log, type Span } from "@sluice/telemetry";
import { ActiveCall, type Ending } from "./active-call.ts";
import { checkAnswer } from "./answer-check.ts";
import type { Calls } from "./calls.ts";
import type { Exchange, ReceivedHeaders } from "./exchange.ts";
import { abandon, forward } from "./forward.ts";
import { relayedHeaders } from "./headers.ts";
import { hideTools } from "./messages.ts";
import type { Principals } from "./principals.ts";
import { StreamRelay } from "./stream-relay.ts";
import type { Upstreams } from "./upstreams.ts";

export interface EgressParts {
  readonly bus: Bus;
  readonly log: Log;
  readonly upstreams: Upstreams;
  readonly principals: Principals;
  readonly outcomes: OutcomeLog;
  readonly calls: Calls;
  readonly maxListBytes: number;
  readonly maxAnswerBytes: number;
}

const bodyIdleTimeoutMs = 30_000;
/** How long an answer waits for a bus that is away. */
const awayMs = 30_000;
const noBody = Buffer.alloc(0);

/** Forwards admitted calls: signs, sends once, relays what comes back as it is. */
export class Egress {
  readonly #parts: EgressParts;

  constructor(parts: EgressParts) {
    this.#parts = parts;
  }

  configure(sections: SectionMap<"egress">): string[] {
    return this.#parts.upstreams.configure(sections);
  }

  /** Takes a call from the bus; everything that goes wrong ends as an answer to the caller and an outcome. */
  async take(message: Incoming): Promise<void> {
    const { calls, outcomes, log, bus } = this.#parts;
    if (message.reply === undefined || message.reply === "") return;
    const { head, body } = decodeHeadAndBody<CallHead>(message.data);
    const call = new ActiveCall(head, message.reply);
    const span = startSpan(`egress ${head.method || head.http}`, "client", message.headers?.get("traceparent"));
    try {
      if (outcomes.full) throw new Fault("unavailable", "the audit trail cannot be written at the moment");
      calls.add(call);
      const ending = await this.#carryOut(call, body, span);
      this.#conclude(call, span, ending);
    } catch (error) {
      const fault = call.ended ?? toFault(error);
      call.end(fault);
      if (fault.kind === "internal")
        log.error({ traceId: span.traceId, call: head.call, error: describeError(error) }, "call failed");
      this.#answer(call, faultReply(bus, fault), noBody);
      this.#conclude(call, span, { status: fault.row.status, fault: fault.kind });
    } finally {
      calls.remove(call);
    }
  }

  /** Heeds a word about a call or stream, where it is this replica's. */
  heed(verb: OwnVerb, message: Incoming): void {
    const word = decodeJson<OwnWord>(message.data);
    for (const call of this.#parts.calls.matching(word)) {
      if (verb === "cancel") call.end(new Fault("client_left", "the client left"));
      else if (verb === "detach") call.leave();
      else if (verb === "attach" && word.reader !== undefined) call.read(word.reader);
      else if (verb === "release" && call.listening && call.reader === undefined)
        call.end(new Fault("client_left", "a newer stream took over"));
      else continue;
      if (message.reply !== undefined && message.reply !== "") this.#parts.bus.tell(message.reply, Buffer.from("{}"));
    }
  }

  async #carryOut(call: ActiveCall, inline: Buffer, span: Span): Promise<Ending> {
    const { head } = call;
    const upstream = this.#parts.upstreams.find(head.tenant, head.server);
    if (upstream === undefined)
      throw new Fault("upstream_failed", `the server ${head.server} is not usable: see the log of egress`);
    const connections = call.listening ? upstream.streams : upstream.calls;
    connections.requireRoom();
    const body = head.chunked === undefined ? (head.http === "POST" ? inline : null) : this.#receiveBody(call);
    const exchange = forward({ head, upstream, connections, body, traceparent: span.traceparent });
    call.attach(exchange);
    const { status, headers } = await exchange.head;
    call.lastActivity = Date.now();
    if (status >= 300 && status < 400)
      throw this.#drop(exchange, new Fault("upstream_failed", `the upstream redirects (${status})`));
    if (Number(headers["content-length"]) > this.#parts.maxAnswerBytes) throw this.#drop(exchange, tooLarge());
    try {
      const relayed = { ...relayedHeaders(headers), ...(await this.#session(call, status, headers)) };
      const reply = { call, exchange, status, headers: relayed };
      return isEventStream(status, headers) ? await this.#stream(reply) : await this.#unary(reply);
    } catch (error) {
      const given = headers["mcp-session-id"];
      const isNew = head.session === undefined && typeof given === "string";
      if (isNew) abandon(given, { head, upstream, traceparent: span.traceparent });
      throw error;
    }
  }

  /** Exchanges the upstream's session id for the client's, and forgets a session that the upstream ended. */
  async #session(call: ActiveCall, status: number, headers: ReceivedHeaders): Promise<Record<string, string>> {
    const { principals } = this.#parts;
    const { head } = call;
    const given = headers["mcp-session-id"];
    if (head.session === undefined) {
      if (typeof given !== "string" || status >= 300) return {};
      return { "mcp-session-id": await principals.openSession(head, given) };
    }
    const ended = status === 404 || (head.http === "DELETE" && status < 300);
    if (ended) await principals.endSession(head.session.id);
    return given === undefined ? {} : { "mcp-session-id": head.session.id };
  }

  async #stream(reply: {
    call: ActiveCall;
    exchange: Exchange;
    status: number;
    headers: Record<string, string>;
  }): Promise<Ending> {
    const { bus, principals, maxListBytes } = this.#parts;
    const { call } = reply;
    call.streaming = true;
    call.announced = call.answered = true;
    const mayList = call.head.method === "tools/list" || call.listening;
    const filter = mayList ? principals.toolFilter(call.head) : undefined;
    return await new StreamRelay({ bus, maxListBytes, ...reply, ...(filter !== undefined && { filter }) }).run();
  }

  async #unary(reply: {
    call: ActiveCall;
    exchange: Exchange;
    status: number;
    headers: Record<string, string>;
  }): Promise<Ending> {
    const { bus, principals, maxListBytes } = this.#parts;
    const { call, exchange, status, headers } = reply;
    const isList = call.head.method === "tools/list" && status < 300;
    const { bytes, complete } = await exchange.collect(isList ? maxListBytes : chunkBytes);
    const head: ReplyHead = { egress: bus.instance, kind: "answer", status, headers };
    if (!complete) {
      if (isList) throw this.#drop(exchange, new Fault("upstream_failed", "the upstream's list of tools is too large"));
      return await this.#large(call, exchange, { head, start: bytes });
    }
    const observed = checkAnswer(bytes, status, call.head.rpcId);
    const shown = isList && bytes.length > 0 ? await hideTools(bytes, principals.toolFilter(call.head)) : bytes;
    if (shown.length > chunkBytes) return await this.#large(call, exchange, { head, start: shown });
    call.bytes = shown.length;
    this.#answer(call, head, shown);
    return { status, ...(observed?.answers !== undefined && { isError: observed.isError }) };
  }

  /** An answer that does not fit one message goes on in chunks, no faster than the client reads. */
  async #large(
    call: ActiveCall,
    exchange: Exchange,
    { head, start }: { head: ReplyHead; start: Buffer },
  ): Promise<Ending> {
    const { bus, maxAnswerBytes } = this.#parts;
    this.#answer(call, { ...head, chunked: true }, noBody);
    async function* body(): AsyncGenerator<Buffer> {
      call.bytes += start.length;
      yield start;
      for await (const chunk of exchange) {
        call.lastActivity = Date.now();
        call.bytes += chunk.length;
        if (call.bytes > maxAnswerBytes) throw tooLarge();
        yield chunk;
      }
    }
    const sending = new AbortController();
    call.attach(sending);
    try {
      await sendBody(bus, body(), {
        to: call.replyTo,
        idleTimeoutMs: bodyIdleTimeoutMs,
        signal: sending.signal,
      });
      return { status: head.status };
    } catch (error) {
      const fault = call.ended ?? toFault(error);
      exchange.abort(fault);
      return { status: head.status, fault: fault.kind };
    }
  }

  #receiveBody(call: ActiveCall): AsyncIterable<Buffer> {
    const { bus } = this.#parts;
    const receiver = new BodyReceiver(bus);
    const inbox = bus.inbox.open({
      timeoutMs: bodyIdleTimeoutMs,
      onMessage: (message) => {
        inbox.extend(bodyIdleTimeoutMs);
        receiver.push(message);
      },
      onFailure: (fault) => receiver.fail(fault),
    });
    this.#answer(call, { egress: bus.instance, kind: "ready", to: inbox.subject, status: 0, headers: {} }, noBody);
    return (async function* () {
      try {
        yield* receiver;
      } finally {
        inbox.close();
      }
    })();
  }

  #drop(exchange: Exchange, fault: Fault): Fault {
    exchange.abort(fault);
    return fault;
  }

  #answer(call: ActiveCall, head: ReplyHead, body: Buffer): void {
    const { bus } = this.#parts;
    if (head.kind === "answer") call.announced = call.answered = true;
    const message = encodeHeadAndBody(head, body);
    if (bus.connected) bus.tell(call.replyTo, message);
    else
      void bus.whenConnected(awayMs).then(
        () => bus.tell(call.replyTo, message),
        () => {},
      );
  }

  #conclude(call: ActiveCall, span: Span, ending: Ending): void {
    const { head } = call;
    this.#parts.outcomes.add({
      call: head.call,
      at: Date.now(),
      decision: "allow",
      durationMs: Date.now() - call.startedAt,
      bytes: call.bytes,
      by: this.#parts.bus.instance,
      ...ending,
      ...(head.rule !== undefined && { rule: head.rule }),
      ...(head.policyVersion !== undefined && { policyVersion: head.policyVersion }),
    });
    this.#parts.calls.count(call, ending);
    span.end({
      ...(ending.fault !== undefined && { error: ending.fault }),
      attributes: { "http.response.status_code": ending.status, "rpc.method": head.method, "sluice.call": head.call },
    });
  }
}

function tooLarge(): Fault {
  return new Fault("upstream_failed", "the upstream's answer is too large");
}

function isEventStream(status: number, headers: ReceivedHeaders): boolean {
  return status === 200 && /^text\/event-stream\s*(;|$)/i.test(String(headers["content-type"] ?? ""));
}

function faultReply(bus: Bus, fault: Fault): ReplyHead {
  const { kind, message, details, row } = fault;
  return { egress: bus.instance, kind: "answer", status: row.status, headers: {}, fault: { kind, message, details } };
}
