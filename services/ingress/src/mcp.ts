import { ServerResponse } from "node:http";
import type { Bus, OutcomeLog } from "@sluice/bus";
import { Fault, toFault, type Intent, type Slot } from "@sluice/contracts";
import { startSpan } from "@sluice/telemetry";
import type { Admission, Admitted } from "./admission.ts";
import type { Answer } from "./answer.ts";
import type { ArgumentRules } from "./arguments.ts";
import { isBatch, type Batches, type HttpRequest } from "./batches.ts";
import { Body, readBody, requireJson } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import { Conversation, ToldFault, type HandedHead } from "./conversation.ts";
import type { CountedCalls } from "./counted-calls.ts";
import { callHeadOf, intentOf, sessionOf, type Journey } from "./journey.ts";
import { checkOperationHeaders, eraOf, readOperation, type Operation } from "./operation.ts";
import { outcomeOf, thisMoment, type Ending, type Moment } from "./outcome.ts";
import { quotaHeaders } from "./quota-headers.ts";
import { plainRefusals, protocolDisabled, requireAdmitted, shownQuarantine, statusOf } from "./refusal.ts";
import { renderFault } from "./render.ts";
import { RequestFault } from "./request-fault.ts";
import { header, type RequestHead } from "./request-head.ts";
import { findKept, noSuchStream, resume } from "./resumption.ts";
import type { Streams } from "./streams.ts";
import { findTarget } from "./target.ts";
import { noSuchServer, withdrawn, type Principal, type Tenants } from "./tenants.ts";

export interface McpParts {
  readonly bus: Bus;
  readonly tenants: Tenants;
  readonly admission: Admission;
  readonly argumentRules: ArgumentRules;
  readonly counted: CountedCalls;
  readonly streams: Streams;
  readonly outcomes: OutcomeLog;
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
    const { budget, outcomes, batches } = this.#parts;
    const { request } = received;
    const arrived = { ...received, started: thisMoment() };
    const { target } = this.#place(arrived);
    if (outcomes.full) throw auditFull();
    if (request.method !== "POST") return await this.carry(arrived, noBody);
    requireJson(request);
    using body = await readBody(request, { limit: target.maxPayloadBytes, budget: budget.of(arrived.principal) });
    if (isBatch(body.bytes)) await batches.carry(this, arrived, body);
    else await this.carry(arrived, body);
  }

  /** Carries one message, or a request without a body, to its end; lets go of the body as soon as egress has it. @throws RequestFault, or Fault before anything was read. */
  async carry(arrived: McpRequest, body: Body): Promise<void> {
    const place = this.#place(arrived);
    if (this.#parts.outcomes.full) throw auditFull();
    const { request, started = thisMoment() } = arrived;
    const span = startSpan("ingress mcp", "server", header(request, "traceparent"));
    let { operation } = arrived;
    try {
      operation ??= await this.#read(request, body);
      if (request.method === "POST") checkOperationHeaders(operation, request.headers);
      await this.#pass({
        ...arrived,
        ...place,
        operation,
        body,
        span,
        name: this.#parts.streams.nextName(),
        started,
      });
      span.end({
        attributes: { "http.response.status_code": arrived.response.statusCode, "rpc.method": operation.method },
      });
    } catch (error) {
      span.end({ error: toFault(error).kind });
      throw new RequestFault(error, operation?.rpcId, span.traceId);
    }
  }

  /**
   * Admits what is no call to an upstream itself; gives back what records how it ended.
   * @throws RequestFault
   */
  async admit(arrived: HttpRequest): Promise<(end: Pick<Ending, "status" | "bytes" | "fault">) => void> {
    const { streams, admission, outcomes } = this.#parts;
    const place = this.#place(arrived);
    if (outcomes.full) throw auditFull();
    const span = startSpan("ingress mcp", "server", header(arrived.request, "traceparent"));
    const operation = await this.#read(arrived.request, noBody);
    const started = thisMoment();
    this.#requireCredential(arrived);
    const journey = { ...arrived, ...place, operation, body: noBody, span, name: streams.nextName(), started };
    const intent = intentOf(journey);
    let admitted: Admitted | undefined;
    try {
      admitted = await admission.ask(intent);
      requireAdmitted(admitted, intent, place.section);
      span.end({ attributes: { "rpc.method": operation.method } });
    } catch (error) {
      const fault = toFault(error);
      this.#conclude(journey, { intent, admitted, fault, status: statusOf(fault) });
      span.end({ error: fault.kind });
      throw new RequestFault(error, undefined, span.traceId);
    }
    const slot = this.#parts.counted.begin(admitted.limit);
    for (const [name, value] of Object.entries(quotaHeaders(admitted.limit.quotas) ?? {}))
      arrived.response.setHeader(name, value);
    return (end) => {
      this.#parts.counted.end(slot);
      this.#conclude(journey, { intent, admitted, ...end });
    };
  }

  /** Calls `end` when what a request came with, or its server, is taken away. @throws Fault */
  whenWithdrawn(arrived: McpRequest, end: () => void): () => void {
    const { principal } = arrived;
    return this.#parts.tenants.whenWithdrawn({ principal, server: this.#place(arrived).target.name }, end);
  }

  /** A credential may be withdrawn while the body still arrives. @throws Fault `unauthorized` */
  #requireCredential({ principal }: McpRequest): void {
    if (!this.#parts.tenants.knows(principal)) throw withdrawn();
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

  /** Admission, then the way to the upstream or to a stream that is kept. */
  async #pass(arrived: Journey): Promise<void> {
    this.#requireCredential(arrived);
    const { principal, target, response } = arrived;
    const journey = resumes(arrived) ? { ...arrived, kept: await this.#findKept(arrived) } : arrived;
    const intent = intentOf(journey);
    const off = this.#parts.tenants.whenWithdrawn({ principal, server: target.name }, () =>
      refuse(response, this.#whyEnded(principal), arrived.operation.rpcId),
    );
    let admitted: Admitted | undefined;
    let slot: Slot | undefined;
    try {
      admitted = await this.#ask(intent, journey.body);
      requireAdmitted(admitted, intent, journey.byPath ? plainRefusals : journey.section);
      slot = this.#parts.counted.begin(admitted.limit);
      await this.#carryOut(journey, intent, admitted);
    } catch (error) {
      const fault = toFault(error);
      if (!(fault instanceof ToldFault)) this.#conclude(journey, { intent, admitted, fault, status: statusOf(fault) });
      const { section, byPath } = journey;
      if (!(fault instanceof ToldFault)) throw error;
      throw shownQuarantine(fault, intent, byPath ? { ...section, ...plainRefusals } : section);
    } finally {
      off();
      this.#parts.counted.end(slot);
    }
  }

  /** What policy has to see of the arguments it is asked apart, and only where nothing else stands against the call. */
  async #ask(intent: Intent, { bytes }: Body): Promise<Admitted> {
    const { admission, argumentRules, counted } = this.#parts;
    const admitted = await admission.ask(intent);
    const { policy, limit, session } = admitted;
    if (!policy.ok || policy.needsArguments !== true || !limit.ok || session?.ok === false) return admitted;
    let isRefused = true;
    try {
      const decided = await argumentRules.decide(intent, admitted, bytes);
      isRefused = !decided.policy.ok;
      return decided;
    } finally {
      if (isRefused) counted.giveBack(1, limit.counted);
    }
  }

  #whyEnded(principal: Principal): Fault {
    const { tenants } = this.#parts;
    if (!tenants.knows(principal)) return withdrawn();
    return tenants.isSwitchedOff(principal) ? protocolDisabled("mcp") : noSuchServer();
  }

  #findKept(journey: Journey): Promise<Journey["kept"]> {
    const { request, principal, target } = journey;
    const asked = { principal, server: target.name, session: sessionOf(journey) };
    return findKept(this.#parts.bus, header(request, lastEventId) ?? "", asked);
  }

  async #carryOut(journey: Journey, intent: Intent, admitted: Admitted): Promise<void> {
    const { request, response, kept, name } = journey;
    const { bus, streams } = this.#parts;
    const decided = { intent, admitted };
    const head = callHeadOf(journey, decided);
    if (!resumes(journey)) {
      const session = sessionOf(journey);
      if (request.method === "GET" && session !== undefined) streams.tellOwner("release", { session });
      return await this.#converse(journey, head, decided);
    }
    if (kept === undefined) throw noSuchStream();
    const extraHeaders = quotaHeaders(admitted.limit.quotas);
    const { continuation, bytes } = await resume({ bus, streams, response, kept, reader: name, extraHeaders });
    if (continuation === "over" || response.destroyed) {
      response.end();
      this.#conclude(journey, { ...decided, status: response.statusCode, bytes });
      return;
    }
    const { resumeFrom } = continuation;
    await this.#converse(journey, { ...head, ...(resumeFrom !== undefined && { resumeFrom }) }, decided);
  }

  async #converse(journey: Journey, head: HandedHead, decided: { intent: Intent; admitted: Admitted }): Promise<void> {
    const { bus, streams } = this.#parts;
    const { response, body, target, operation } = journey;
    const { responseTimeoutMs } = target;
    const { session } = decided.admitted;
    const best = session?.ok === true && session.known === undefined ? session.owner : undefined;
    const instance = operation.owner ?? best;
    const owner = instance === undefined ? undefined : { instance, isNeeded: operation.owner !== undefined };
    const broken = await new Conversation({
      bus,
      streams,
      response,
      head,
      body,
      responseTimeoutMs,
      owner,
      extraHeaders: quotaHeaders(decided.admitted.limit.quotas),
    }).run();
    if (broken !== undefined) this.#conclude(journey, { ...decided, fault: broken, status: response.statusCode });
  }

  /** The outcome of what egress did not conclude: refusals, failures on this side of it, and replays. */
  #conclude({ started }: Journey, end: Ending): void {
    this.#parts.outcomes.add(outcomeOf(end, { started, by: this.#parts.bus.instance }));
  }
}

/** Whether the rest of a stream is asked for. */
function resumes({ request }: McpRequest): boolean {
  return request.method === "GET" && header(request, lastEventId) !== undefined;
}

function auditFull(): Fault {
  return new Fault("unavailable", "the audit trail cannot be written at the moment");
}

/** An answer that has not begun says why it ends; what has begun breaks off. */
function refuse(response: Answer, fault: Fault, rpcId: string | undefined): void {
  if (response instanceof ServerResponse && !response.headersSent)
    renderFault(response as ServerResponse, fault, rpcId);
  else response.destroy();
}
