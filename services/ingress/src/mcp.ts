import type { Bus, OutcomeLog } from "@sluice/bus";
import { Fault, sessionNameOf, toFault, type CallHead, type IngressSection, type Intent } from "@sluice/contracts";
import { startSpan, type Span } from "@sluice/telemetry";
import type { Admission, Admitted } from "./admission.ts";
import type { Answer } from "./answer.ts";
import { isBatch, type Batches, type HttpRequest } from "./batches.ts";
import { Body, readBody, requireJson } from "./body.ts";
import type { BodyBudget } from "./budget.ts";
import { Conversation, ToldFault } from "./conversation.ts";
import { parseEventId } from "./event-id.ts";
import { forwardedHeaders } from "./headers.ts";
import { checkOperationHeaders, eraOf, readOperation, type Operation } from "./operation.ts";
import { outcomeOf, thisMoment, type Ending, type Moment } from "./outcome.ts";
import { plainRefusals, requireAdmitted, statusOf } from "./refusal.ts";
import { RequestFault } from "./request-fault.ts";
import { header, pathOf, type RequestHead } from "./request-head.ts";
import { resume } from "./resumption.ts";
import type { Streams } from "./streams.ts";
import { findTarget, ownName, type Target } from "./target.ts";
import type { Principal, Tenants } from "./tenants.ts";

export interface McpParts {
  readonly bus: Bus;
  readonly tenants: Tenants;
  readonly admission: Admission;
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

/** A request on its way: what was found out about it so far. */
interface Journey extends McpRequest {
  readonly started: Moment;
  readonly section: IngressSection;
  readonly target: Target;
  readonly operation: Operation;
  readonly body: Body;
  readonly span: Span;
  readonly number: string;
}

const sessionHeader = "mcp-session-id";
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
    const { section } = this.#place(arrived);
    if (outcomes.full) throw auditFull();
    if (request.method !== "POST") return await this.carry(arrived, noBody);
    requireJson(request);
    using body = await readBody(request, { limit: section.maxPayloadBytes, budget: budget.of(arrived.principal) });
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
        number: this.#parts.streams.nextNumber(),
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
  async admit(arrived: McpRequest): Promise<(end: { status: number; bytes: number }) => void> {
    const { streams, admission, outcomes } = this.#parts;
    const place = this.#place(arrived);
    if (outcomes.full) throw auditFull();
    const span = startSpan("ingress mcp", "server", header(arrived.request, "traceparent"));
    const operation = await this.#read(arrived.request, noBody);
    const started = thisMoment();
    this.#requireKey(arrived);
    const journey = { ...arrived, ...place, operation, body: noBody, span, number: streams.nextNumber(), started };
    const intent = this.#intent(journey);
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
    return (end) => this.#conclude(journey, { intent, admitted, ...end });
  }

  /** A key may be withdrawn while the body still arrives. @throws Fault `unauthorized` */
  #requireKey({ principal }: McpRequest): void {
    if (!this.#parts.tenants.knows(principal)) throw new Fault("unauthorized", "the API key is not valid any more");
  }

  async #read({ method, headers }: RequestHead, body: Body): Promise<Operation> {
    return method === "POST"
      ? await readOperation(body.bytes, headers)
      : { method: method ?? "GET", era: eraOf(headers) };
  }

  /** @throws Fault `not_found` where the tenant has no such server. */
  #place({ principal, server }: McpRequest): Pick<Journey, "section" | "target"> {
    const section = this.#parts.tenants.find(principal.tenant);
    if (section === undefined) throw new Fault("not_found", "this tenant has no such server");
    return { section, target: findTarget(section, server) };
  }

  /** Admission, then the way to the upstream or to a stream that is kept. */
  async #pass(journey: Journey): Promise<void> {
    this.#requireKey(journey);
    const intent = this.#intent(journey);
    let admitted: Admitted | undefined;
    try {
      admitted = await this.#parts.admission.ask(intent);
      requireAdmitted(admitted, intent, journey.byPath ? plainRefusals : journey.section);
      await this.#carryOut(journey, intent, admitted);
    } catch (error) {
      const fault = toFault(error);
      if (!(fault instanceof ToldFault)) this.#conclude(journey, { intent, admitted, fault, status: statusOf(fault) });
      throw error;
    }
  }

  async #carryOut(journey: Journey, intent: Intent, admitted: Admitted): Promise<void> {
    const { request, response, principal, target } = journey;
    const lastEventId = header(request, "last-event-id");
    if (request.method !== "GET" || lastEventId === undefined) {
      const session = header(request, sessionHeader);
      if (request.method === "GET" && session !== undefined) {
        this.#parts.streams.tellOwner("release", { session });
      }
      await this.#converse(journey, this.#callHead(journey, intent, admitted), { intent, admitted });
      return;
    }
    const from = parseEventId(lastEventId);
    if (from === undefined)
      throw new Fault(
        "not_found",
        "there is no such stream, or it is no longer kept: open a new one without Last-Event-ID",
      );
    const { bus, streams } = this.#parts;
    const { continuation, bytes } = await resume({
      bus,
      streams,
      response,
      from,
      principal,
      server: target.name,
      session: intent.session,
    });
    if (continuation === "over" || response.destroyed) {
      response.end();
      this.#conclude(journey, { intent, admitted, status: response.statusCode, bytes });
      return;
    }
    const head = this.#callHead(journey, intent, admitted);
    const { resumeFrom } = continuation;
    await this.#converse(journey, resumeFrom === undefined ? head : { ...head, resumeFrom }, { intent, admitted });
  }

  async #converse(journey: Journey, head: CallHead, decided: { intent: Intent; admitted: Admitted }): Promise<void> {
    const { bus, streams } = this.#parts;
    const { response, body, span, target, operation } = journey;
    const { responseTimeoutMs } = target;
    const { session } = decided.admitted;
    const owner = operation.owner ?? (session?.ok === true ? session.owner : undefined);
    const broken = await new Conversation({
      bus,
      streams,
      response,
      head,
      body,
      traceparent: span.traceparent,
      responseTimeoutMs,
      owner,
    }).run();
    if (broken !== undefined) this.#conclude(journey, { ...decided, fault: broken, status: response.statusCode });
  }

  #intent(journey: Journey): Intent {
    const { request, principal, section, target, operation, byPath, body, span, number, started } = journey;
    const session = header(request, sessionHeader);
    const named = ownName(target, operation, section);
    return {
      call: `${this.#parts.bus.instance}-${number}`,
      at: started.at,
      label: "mcp_proxy",
      tenant: principal.tenant,
      agent: principal.agent,
      auth: principal.method,
      protocol: "mcp",
      era: operation.era,
      http: byPath?.http ?? request.method ?? "",
      path: pathOf(request),
      method: byPath?.method ?? operation.method,
      server: target.name,
      trace: span.traceId,
      bytes: body.length,
      ...(named !== undefined && { target: named }),
      ...(operation.targetKind !== undefined && { targetKind: operation.targetKind }),
      ...(session !== undefined && { session: sessionNameOf(session) }),
      ...(operation.rpcId !== undefined && { rpcId: operation.rpcId }),
    };
  }

  #callHead(
    { request, principal, section, target, operation, byPath, number }: Journey,
    intent: Intent,
    admitted: Admitted,
  ): CallHead {
    const { bus } = this.#parts;
    const { session } = admitted;
    const sessionId = header(request, sessionHeader);
    return {
      call: intent.call,
      tenant: principal.tenant,
      agent: principal.agent,
      server: target.name,
      http: request.method as CallHead["http"],
      headers: forwardedHeaders(request.headers, {
        named: target.forwardHeaders,
        credentials: section.keyHeaders,
      }),
      era: operation.era,
      method: operation.method,
      stream: `${bus.instance}.${number}`,
      rule: admitted.policy.rule,
      policyVersion: admitted.policyVersion,
      ...(operation.rpcId !== undefined && { rpcId: operation.rpcId }),
      ...(byPath !== undefined && { isPlain: true, isWholeList: byPath.wholeList === true }),
      ...(sessionId !== undefined &&
        session?.ok === true && {
          session: {
            id: sessionId,
            upstream: session.upstreamSession,
            ...(session.isMediated === true && { isMediated: true }),
          },
        }),
    };
  }

  /** The outcome of what egress did not conclude: refusals, failures on this side of it, and replays. */
  #conclude({ started }: Journey, end: Ending): void {
    this.#parts.outcomes.add(outcomeOf(end, { started, by: this.#parts.bus.instance }));
  }
}

function auditFull(): Fault {
  return new Fault("unavailable", "the audit trail cannot be written at the moment");
}
