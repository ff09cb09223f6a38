import type { IncomingMessage, ServerResponse } from "node:http";
import type { Bus, OutcomeLog } from "@sluice/bus";
import {
  Fault,
  sessionNameOf,
  toFault,
  type CallHead,
  type IngressSection,
  type Intent,
  type Outcome,
} from "@sluice/contracts";
import { startSpan, type Span } from "@sluice/telemetry";
import type { Admission, Admitted } from "./admission.ts";
import { readBody, requireJson, type BodyBudget } from "./body.ts";
import { Conversation, ToldFault } from "./conversation.ts";
import { parseEventId } from "./event-id.ts";
import { forwardedHeaders } from "./headers.ts";
import { checkOperationHeaders, eraOf, readOperation, type Operation } from "./operation.ts";
import { requireAdmitted, statusOf } from "./refusal.ts";
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
}

export interface McpRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly principal: Principal;
  /** The server named in the path; the tenant's default without one. */
  readonly server: string | undefined;
}

/** A request on its way: what was found out about it so far. */
interface Journey extends McpRequest {
  readonly section: IngressSection;
  readonly target: Target;
  readonly operation: Operation;
  readonly body: Buffer;
  readonly span: Span;
  readonly number: string;
  readonly startedAt: number;
}

const sessionHeader = "mcp-session-id";
const releaseWaitMs = 150;
const noBody = Buffer.alloc(0);

/** MCP Streamable HTTP: one endpoint, POST, GET and DELETE, both eras (https://modelcontextprotocol.io/specification, Transports). */
export class Mcp {
  readonly #parts: McpParts;

  constructor(parts: McpParts) {
    this.#parts = parts;
  }

  /** Carries one request to its end. @throws Fault with `rpcId` in the second place of the pair, for the renderer. */
  async handle(arrived: McpRequest): Promise<void> {
    const { tenants, budget, streams, outcomes } = this.#parts;
    const { request, principal } = arrived;
    const startedAt = Date.now();
    const section = tenants.find(principal.tenant);
    if (section === undefined) throw new Fault("not_found", "this tenant has no such server");
    const target = findTarget(section, arrived.server);
    if (outcomes.full) throw new Fault("unavailable", "the audit trail cannot be written at the moment");
    const isPost = request.method === "POST";
    if (isPost) requireJson(request);
    const body = isPost ? await readBody(request, { limit: section.maxPayloadBytes, budget }) : noBody;
    const span = startSpan("ingress mcp", "server", header(request, "traceparent"));
    let operation: Operation | undefined;
    try {
      operation = isPost
        ? await readOperation(body, request.headers)
        : { method: request.method ?? "GET", era: eraOf(request.headers) };
      if (isPost) checkOperationHeaders(operation, request.headers);
      await this.#pass({ ...arrived, section, target, operation, body, span, number: streams.nextNumber(), startedAt });
      span.end({
        attributes: { "http.response.status_code": arrived.response.statusCode, "rpc.method": operation.method },
      });
    } catch (error) {
      span.end({ error: toFault(error).kind });
      throw new RequestFault(error, operation?.rpcId, span.traceId);
    } finally {
      budget.give(body.length);
    }
  }

  /** Admission, then the way to the upstream or to a stream that is kept. */
  async #pass(journey: Journey): Promise<void> {
    const intent = this.#intent(journey);
    let admitted: Admitted | undefined;
    try {
      admitted = await this.#parts.admission.ask(intent);
      requireAdmitted(admitted, intent, journey.section);
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
        await this.#parts.streams.askOwner("release", { session }, releaseWaitMs);
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

  #intent({ request, principal, section, target, operation, body, span, number, startedAt }: Journey): Intent {
    const session = header(request, sessionHeader);
    const named = ownName(target, operation, section);
    return {
      call: `${this.#parts.bus.instance}-${number}`,
      at: startedAt,
      label: "mcp_proxy",
      tenant: principal.tenant,
      agent: principal.agent,
      auth: principal.method,
      protocol: "mcp",
      era: operation.era,
      http: request.method ?? "",
      path: pathOf(request),
      method: operation.method,
      server: target.name,
      trace: span.traceId,
      bytes: body.length,
      ...(named !== undefined && { target: named }),
      ...(operation.targetKind !== undefined && { targetKind: operation.targetKind }),
      ...(session !== undefined && { session: sessionNameOf(session) }),
      ...(operation.rpcId !== undefined && { rpcId: operation.rpcId }),
    };
  }

  #callHead({ request, principal, target, operation, number }: Journey, intent: Intent, admitted: Admitted): CallHead {
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
        credentials: this.#parts.tenants.keyHeaders,
      }),
      era: operation.era,
      method: operation.method,
      stream: `${bus.instance}.${number}`,
      rule: admitted.policy.rule,
      policyVersion: admitted.policyVersion,
      ...(operation.rpcId !== undefined && { rpcId: operation.rpcId }),
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
  #conclude(
    journey: Journey,
    end: { intent: Intent; admitted: Admitted | undefined; status: number; fault?: Fault; bytes?: number },
  ): void {
    const { admitted, fault } = end;
    const denied = fault !== undefined && (fault.row.blame === "policy" || fault.kind === "session_not_found");
    const rule = admitted?.policy.ok === true && !admitted.limit.ok ? admitted.limit.rule : admitted?.policy.rule;
    const outcome: Outcome = {
      call: end.intent.call,
      at: Date.now(),
      decision: denied || admitted === undefined ? "deny" : "allow",
      status: end.status,
      durationMs: Date.now() - journey.startedAt,
      bytes: end.bytes ?? 0,
      by: this.#parts.bus.instance,
      ...(rule !== undefined && { rule }),
      ...(admitted !== undefined && { policyVersion: admitted.policyVersion }),
      ...(fault !== undefined && { fault: fault.kind }),
    };
    this.#parts.outcomes.add(outcome);
  }
}

/** A failure with what the renderer and the log need beside it. */
export class RequestFault extends Error {
  readonly fault: Fault;
  readonly rpcId: string | undefined;
  readonly traceId: string;

  constructor(thrown: unknown, rpcId: string | undefined, traceId: string) {
    const fault = toFault(thrown);
    super(fault.message, { cause: fault });
    this.fault = fault;
    this.rpcId = rpcId;
    this.traceId = traceId;
  }
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0]?.slice(0, 512) ?? "";
}
