import { ServerResponse } from "node:http";
import { toFault, type Fault } from "@sluice/contracts";
import { startSpan } from "@sluice/telemetry";
import type { Answer } from "./answer.ts";
import { methodOf, refusedIntentOf } from "./attempt.ts";
import { isBatch, type Batches, type HttpRequest } from "./batches.ts";
import { Body, readBody, requireJson } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import type { HandedHead } from "./conversation.ts";
import { callHeadOf, intentOf, sessionOf, type Journey } from "./journey.ts";
import { mannerOf } from "./manner.ts";
import { checkOperationHeaders, eraOf, readOperation, type Operation } from "./operation.ts";
import { thisMoment, type Ending, type Moment } from "./outcome.ts";
import type { Crossing, Decided, Passage, PassageParts } from "./passage.ts";
import { quotaHeaders } from "./quota-headers.ts";
import { plainRefusals, statusOf } from "./refusal.ts";
import { renderFault } from "./render.ts";
import { RequestFault } from "./request-fault.ts";
import { header, type RequestHead } from "./request-head.ts";
import { findKept, noSuchStream, resume } from "./resumption.ts";
import { findTarget, targetOf } from "./target.ts";
import type { Principal } from "./tenants.ts";

export interface McpParts extends Pick<PassageParts, "bus" | "tenants" | "streams"> {
  readonly passage: Passage;
  readonly budget: BodyBudget;
  readonly batches: Batches;
}

export interface McpRequest {
  readonly request: RequestHead;
  readonly response: Answer;
  readonly principal: Principal;
  /** The server named in the path; the tenant's default without one. */
  readonly server: string | undefined;
  /** Now where it is not told. */
  readonly started?: Moment;
  /** What the body says, where that was read already. */
  readonly operation?: Operation;
  /** Where it came by a method's own path: the HTTP method it came with, and the MCP method it counts as. */
  readonly byPath?: { readonly http: string; readonly method: string; readonly wholeList?: boolean };
}

/** A message that could not be read, of how many bytes, and what it came with. */
export interface RefusedMessage extends Pick<McpRequest, "request" | "principal" | "server"> {
  readonly bytes: number;
}

type Begun = Omit<RefusedMessage, "bytes"> &
  Partial<RefusedMessage> &
  Pick<McpRequest, "byPath"> &
  Pick<Journey, "body" | "span" | "name" | "started">;

const lastEventId = "last-event-id";
const noBody = new Body(Buffer.alloc(0));

/** MCP Streamable HTTP: one endpoint, POST, GET and DELETE, both eras (https://modelcontextprotocol.io/specification, Transports). */
export class Mcp {
  readonly #parts: McpParts;

  constructor(parts: McpParts) {
    this.#parts = parts;
  }

  /** Carries one HTTP request to its end: one message or a batch of them, or none. @throws RequestFault or Fault */
  async handle(received: HttpRequest): Promise<void> {
    const { budget, passage, batches } = this.#parts;
    const { request } = received;
    const arrived = { ...received, started: thisMoment() };
    const { target } = this.#place(arrived);
    passage.requireRoom();
    if (request.method !== "POST") return await this.carry(arrived, noBody);
    requireJson(request);
    using body = await readBody(request, { limit: target.maxPayloadBytes, budget: budget.of(arrived.principal) });
    if (isBatch(body.bytes)) await batches.carry(this, arrived, body);
    else await this.carry(arrived, body);
  }

  /** Carries one message, or a request without a body, to its end; lets go of the body as soon as egress has it. @throws RequestFault, or Fault before anything was read. */
  async carry(arrived: McpRequest, body: Body): Promise<void> {
    const { passage, streams } = this.#parts;
    const { request, started = thisMoment() } = arrived;
    const span = startSpan("ingress mcp", "server", header(request, "traceparent"));
    const begun = { body, span, name: streams.nextName(), started };
    let { operation } = arrived;
    let passes = false;
    try {
      const place = this.#place(arrived);
      passage.requireRoom();
      operation ??= await this.#read(request, body);
      if (request.method === "POST") checkOperationHeaders(operation, request.headers);
      const journey = await this.#found({ ...arrived, ...place, ...begun, operation });
      const crossing = crossingOf(journey);
      passes = true;
      await passage.pass(crossing, (decided) => this.#carryOut(journey, crossing, decided));
      span.end({
        attributes: { "http.response.status_code": arrived.response.statusCode, "rpc.method": operation.method },
      });
    } catch (error) {
      span.end({ error: toFault(error).kind });
      const thrown = passes ? error : this.#refuse({ ...arrived, ...begun }, toFault(error), operation);
      throw new RequestFault(thrown, { rpcId: operation?.rpcId, traceId: span.traceId, isOnRecord: true });
    }
  }

  /** Puts on record a message of a larger whole that could not be read; gives back what its client is to be told. */
  refuse(arrived: RefusedMessage, fault: Fault): Fault {
    const span = startSpan("ingress mcp", "server", header(arrived.request, "traceparent"));
    span.end({ error: fault.kind });
    const begun = {
      body: new Body(Buffer.alloc(0)),
      span,
      name: this.#parts.streams.nextName(),
      started: thisMoment(),
    };
    return this.#refuse({ ...arrived, ...begun }, fault);
  }

  /**
   * Admits what is no call to an upstream itself; gives back what records how it ended.
   * @throws RequestFault
   */
  async admit(arrived: HttpRequest): Promise<(end: Omit<Ending, keyof Decided>) => void> {
    const { streams, passage } = this.#parts;
    const place = this.#place(arrived);
    passage.requireRoom();
    const span = startSpan("ingress mcp", "server", header(arrived.request, "traceparent"));
    const operation = await this.#read(arrived.request, noBody);
    const started = thisMoment();
    passage.requireCredential(arrived.principal);
    const journey = { ...arrived, ...place, operation, body: noBody, span, name: streams.nextName(), started };
    try {
      const { admitted, end } = await passage.admit({ ...crossingOf(journey), shape: place.section });
      span.end({ attributes: { "rpc.method": operation.method } });
      for (const [name, value] of Object.entries(quotaHeaders(admitted.limit.quotas) ?? {}))
        arrived.response.setHeader(name, value);
      return end;
    } catch (error) {
      span.end({ error: toFault(error).kind });
      throw new RequestFault(error, { traceId: span.traceId, isOnRecord: true });
    }
  }

  /** Calls `end` when what a request came with, or its server, is taken away. @throws Fault */
  whenWithdrawn(arrived: McpRequest, end: () => void): () => void {
    const { principal } = arrived;
    return this.#parts.tenants.whenWithdrawn(
      { principal, protocol: "mcp", server: this.#place(arrived).target.name },
      end,
    );
  }

  async #read({ method, headers }: RequestHead, body: Body): Promise<Operation> {
    return method === "POST"
      ? await readOperation(body.bytes, headers)
      : { method: method ?? "GET", era: eraOf(headers) };
  }

  /** @throws Fault `not_found` where the tenant has no such server. */
  #place({ principal, server }: McpRequest): Pick<Journey, "section" | "target"> {
    const section = this.#parts.tenants.require(principal.tenant);
    return { section, target: findTarget(section, server) };
  }

  /** The journey of who may come still, with the stream that is kept where one is asked for. @throws Fault */
  async #found(arrived: Journey): Promise<Journey> {
    this.#parts.passage.requireCredential(arrived.principal);
    return resumes(arrived) ? { ...arrived, kept: await this.#findKept(arrived) } : arrived;
  }

  #refuse(begun: Begun, fault: Fault, operation: Operation = unread(begun.request)): Fault {
    const { tenants, passage } = this.#parts;
    const { principal, server, span, started, bytes = begun.body.length } = begun;
    const section = tenants.find(principal.tenant);
    const target = section && targetOf(section, server);
    const known = { ...begun, protocol: "mcp", traceId: span.traceId, bytes, server: undefined } as const;
    const intent =
      section === undefined || target === undefined
        ? refusedIntentOf(known)
        : { ...intentOf({ ...begun, section, target, operation }), bytes };
    return passage.refuse({ intent, started, fault, status: statusOf(fault) });
  }

  #findKept(journey: Journey): Promise<Journey["kept"]> {
    const { request, principal, target } = journey;
    const asked = { principal, server: target.name, session: sessionOf(journey) };
    return findKept(this.#parts.bus, header(request, lastEventId) ?? "", asked);
  }

  async #carryOut(journey: Journey, crossing: Crossing, decided: Decided): Promise<void> {
    const { request, response, kept, name } = journey;
    const { bus, streams, passage } = this.#parts;
    const head = callHeadOf(journey, decided);
    if (!resumes(journey)) {
      const session = sessionOf(journey);
      if (request.method === "GET" && session !== undefined) streams.tellOwner("release", { session });
      return await this.#converse(journey, crossing, { head, decided });
    }
    if (kept === undefined) throw noSuchStream();
    const extraHeaders = quotaHeaders(decided.admitted.limit.quotas);
    const { continuation, bytes } = await resume({ bus, streams, response, kept, reader: name, extraHeaders });
    if (continuation === "over" || response.destroyed) {
      response.end();
      passage.conclude(crossing, { ...decided, status: response.statusCode, bytes });
      return;
    }
    const { resumeFrom } = continuation;
    const continued = { ...head, ...(resumeFrom !== undefined && { resumeFrom }) };
    await this.#converse(journey, crossing, { head: continued, decided });
  }

  async #converse(
    { response, target, operation }: Journey,
    crossing: Crossing,
    { head, decided }: { readonly head: HandedHead; readonly decided: Decided },
  ): Promise<void> {
    const { session } = decided.admitted;
    const best = session?.ok === true && session.known === undefined ? session.owner : undefined;
    const instance = operation.owner ?? best;
    const owner = instance === undefined ? undefined : { instance, isNeeded: operation.owner !== undefined };
    const manner = mannerOf(head, target.responseTimeoutMs);
    await this.#parts.passage.converse(crossing, decided, { response, head, manner, owner });
  }
}

function crossingOf(journey: Journey): Crossing {
  const { principal, request, body, started, section, response, operation, byPath } = journey;
  return {
    principal,
    intent: intentOf(journey),
    headers: request.headers,
    body,
    started,
    shape: byPath === undefined ? section : { ...section, ...plainRefusals },
    cut: (fault) => refuse(response, fault, operation.rpcId),
  };
}

/** What is known of a message that was not read. */
function unread(request: RequestHead): Operation {
  return { method: methodOf(request), era: eraOf(request.headers) };
}

/** Whether the rest of a stream is asked for. */
function resumes({ request }: McpRequest): boolean {
  return request.method === "GET" && header(request, lastEventId) !== undefined;
}

/** An answer that has not begun says why it ends; what has begun breaks off. */
function refuse(response: Answer, fault: Fault, rpcId: string | undefined): void {
  if (response instanceof ServerResponse && !response.headersSent)
    renderFault(response as ServerResponse, fault, { rpcId });
  else response.destroy();
}
