import { ServerResponse, type IncomingMessage } from "node:http";
import { readRequest, UnreadRequest, type ReadRequest, type WireRequest } from "@sluice/a2a";
import { digestOf } from "@sluice/capture";
import { isStreamed, toFault, type A2aOperation, type Fault, type IngressSection } from "@sluice/contracts";
import { compile, raw, scan, scanAsync } from "@sluice/json";
import { startSpan } from "@sluice/telemetry";
import type { Answer } from "../answer.ts";
import { refusedIntentOf, type Attempt } from "../attempt.ts";
import { Body, readBody, requireType } from "../body.ts";
import type { BodyBudget } from "../budget.ts";
import { thisMoment, type Moment } from "../outcome.ts";
import type { Crossing, Decided, PassageParts } from "../passage.ts";
import { renderFault, toldStatusOf } from "../render.ts";
import { RequestFault } from "../request-fault.ts";
import { statusOf } from "../refusal.ts";
import { header, type RequestHead } from "../request-head.ts";
import { noSuchAgent, type Principal } from "../tenants.ts";
import { A2aFault, dialectAt, type Told } from "./a2a-fault.ts";
import { callHeadOf, intentOf, surely, type A2aJourney, type AgentTarget } from "./a2a-journey.ts";
import { a2aMannerOf } from "./a2a-manner.ts";
import type { Cards } from "./cards.ts";
import { withGatewayCard } from "./extended-card.ts";
import { carryStream, type StreamParts } from "./stream.ts";

export interface A2aParts extends Pick<PassageParts, "tenants">, StreamParts {
  readonly budget: BodyBudget;
  readonly cards: Cards;
  /** Where agents reach this gateway. */
  readonly publicUrl: string | undefined;
}

/** A request to an agent. */
export interface A2aRequest {
  readonly request: RequestHead;
  readonly response: Answer;
  readonly principal: Principal;
  /** The agent named in the path; the tenant's default without one. */
  readonly agent: string | undefined;
  /** What stands behind the agent's address, with the query; empty for JSON-RPC. */
  readonly rest: string;
  readonly started?: Moment;
  /** The HTTP method that it came with, where it goes on by another. */
  readonly cameBy?: string;
  /** Its client reads no JSON-RPC: only the HTTP status tells it of an error. */
  readonly isPlain?: boolean;
}

/** The same as it came over HTTP. */
export interface A2aHttpRequest extends A2aRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Of JSON-RPC before 1.0: what each of its revisions words in the same way. */
const alike: ReadonlySet<A2aOperation> = new Set(["GetTask", "CancelTask", "SubscribeToTask"]);
const noBody = () => new Body(Buffer.alloc(0));

/** A2A of any revision and binding: one address per agent (https://a2a-protocol.org/latest/specification). */
export class A2a {
  readonly #parts: A2aParts;
  readonly #publicUrl: string | undefined;

  constructor(parts: A2aParts) {
    this.#parts = parts;
    this.#publicUrl = parts.publicUrl?.replace(/\/+$/, "");
  }

  /** Carries one HTTP request to its end. @throws A2aFault */
  async handle(received: A2aHttpRequest): Promise<void> {
    const started = thisMoment();
    try {
      using body = await this.bodyOf(received);
      await this.carry({ ...received, started }, body);
    } catch (error) {
      throw error instanceof RequestFault ? error : new A2aFault(error, toldTo(received));
    }
  }

  /** What a request holds. @throws Fault */
  async bodyOf({ request, principal, agent, rest }: A2aHttpRequest): Promise<Body> {
    const { tenants, passage, budget } = this.#parts;
    const maxPayloadBytes = limitFor(tenants.require(principal.tenant), agent);
    passage.requireRoom();
    if (request.method !== "POST") return noBody();
    if (rest === "" || hasBody(request)) requireType(request, rest === "" ? "json" : "a2a");
    return await readBody(request, { limit: maxPayloadBytes, budget: budget.of(principal) });
  }

  /** Carries one call to its end; lets go of the body as soon as egress has it. @throws A2aFault, or Fault before anything was read */
  async carry(arrived: A2aRequest, body: Body): Promise<void> {
    const { tenants, streams, passage } = this.#parts;
    const { request, response, principal, rest, started = thisMoment() } = arrived;
    const span = startSpan("ingress a2a", "server", header(request, "traceparent"));
    const name = streams.nextName();
    let told: Told = toldTo(arrived);
    let passes = false;
    try {
      const section = tenants.require(principal.tenant);
      const version = versionOf(request);
      const read = await readRequest({ ...wireOf(arrived, body), ...(version !== undefined && { version }) });
      told = read;
      passage.requireCredential(principal);
      const agent = findAgent(section, arrived.agent);
      const isUnsure = version === undefined && alike.has(read.operation) && read.dialect.version === "0.3";
      const argumentsHash = arrived.cameBy === "GET" ? undefined : await argumentsHashOf(read, body.bytes);
      const journey = {
        ...arrived,
        section,
        agent,
        read,
        rest,
        body,
        isUnsure: isUnsure && rest === "",
        span,
        name,
        started,
        ...(argumentsHash !== undefined && { argumentsHash }),
        publicUrl: this.#publicUrl,
      };
      passes = true;
      await this.#pass(journey);
      span.end({ attributes: attributesOf(read, response.statusCode) });
    } catch (error) {
      span.end({ error: toFault(error).kind });
      if (error instanceof UnreadRequest) told = error;
      const { traceId } = span;
      const begun = { ...arrived, ...told, protocol: "a2a", name, started, traceId, bytes: body.length } as const;
      const thrown = passes ? error : this.#refuse(begun, toFault(error));
      throw new A2aFault(thrown, told, { traceId, isOnRecord: true });
    }
  }

  #refuse(begun: Attempt & Pick<A2aRequest, "agent" | "isPlain"> & Told, fault: Fault): Fault {
    const { principal, started, isPlain } = begun;
    const section = this.#parts.tenants.find(principal.tenant);
    const server = section && agentOf(section, begun.agent)?.name;
    const intent = refusedIntentOf({ ...begun, server });
    const status = isPlain === true ? statusOf(fault) : toldStatusOf(fault, begun);
    return this.#parts.passage.refuse({ intent, started, fault, status });
  }

  async #pass(journey: A2aJourney): Promise<void> {
    const { passage } = this.#parts;
    const crossing = crossingOf(journey);
    await passage.pass(crossing, (decided) => this.#converse(surely(journey, decided), crossing, decided));
  }

  async #converse(journey: A2aJourney, crossing: Crossing, decided: Decided): Promise<void> {
    const { passage, cards, budget: all } = this.#parts;
    const { response, principal } = journey;
    const head = callHeadOf(journey, decided);
    const budget = all.of(principal);
    if (isStreamed(journey.read.operation))
      return await carryStream(this.#parts, { journey, crossing, decided, head, budget });
    const own = a2aMannerOf(journey, head, budget);
    const isCard = journey.read.operation === "GetExtendedAgentCard";
    const manner = isCard ? withGatewayCard(own, journey, { cards, budget }) : own;
    await passage.converse(crossing, decided, { response, head, manner, owner: undefined });
  }
}

const paramsPlan = compile([["params"]], []);
/** Larger bodies are read in slices, so that one of them does not hold up the others. */
const largeBytes = 256 * 1024;

/** Of the bytes of a JSON-RPC request's parameters, or of the whole body of a REST call. */
async function argumentsHashOf({ dialect }: ReadRequest, body: Buffer): Promise<string | undefined> {
  if (body.length === 0) return undefined;
  if (dialect.binding === "HTTP+JSON") return await digestOf(body);
  const seen = body.length > largeBytes ? await scanAsync(body, paramsPlan) : scan(body, paramsPlan);
  const [params] = seen.ok ? seen.values : [];
  return params === undefined ? undefined : await digestOf(raw(body, params));
}

/** @throws Fault `not_found` */
function findAgent(section: IngressSection, agent: string | undefined): AgentTarget {
  const found = agentOf(section, agent);
  if (found === undefined) throw noSuchAgent();
  return found;
}

/** How much may be sent; for no agent what is for the default one, so that nothing tells it from one that is hidden. @throws Fault `not_found` */
function limitFor(section: IngressSection, agent: string | undefined): number {
  return (agentOf(section, agent) ?? findAgent(section, undefined)).maxPayloadBytes;
}

function agentOf({ agentEndpoints }: IngressSection, agent: string | undefined): AgentTarget | undefined {
  return agent === undefined ? agentEndpoints[0] : agentEndpoints.find(({ name }) => name === agent);
}

/** How the call of a journey is admitted, and its client told of what comes in between. */
function crossingOf(journey: A2aJourney): Crossing {
  const { principal, request, body, started, section, response, read, isPlain } = journey;
  const isRpc = read.dialect.binding === "JSONRPC";
  return {
    principal,
    intent: intentOf(journey),
    headers: request.headers,
    body,
    holdsSecret: read.hasWebhook,
    started,
    shape: { deniedWith200: isRpc && isPlain !== true && section.deniedWith200 },
    ...(isPlain !== true && { statusOf: (fault: Fault) => toldStatusOf(fault, read) }),
    cut: (fault) => refuse(response, fault, read),
  };
}

/** An answer that has not begun says why it ends; what has begun breaks off. */
function refuse(response: Answer, fault: Fault, told: Told): void {
  if (response instanceof ServerResponse && !response.headersSent) renderFault(response as ServerResponse, fault, told);
  else response.destroy();
}

/** Whoever sends such a request, as far as its head tells. */
export function toldTo({ request, rest }: A2aRequest): Told {
  return { dialect: dialectAt(rest, versionOf(request)) };
}

/** `A2A-Version`: the header, or else what the query says (A2A 1.0 §3.6.1). */
export function versionOf(request: RequestHead): string | undefined {
  const query = request.url?.replace(/^[^?]*/, "");
  const version = header(request, "a2a-version") ?? (query && new URLSearchParams(query).get("A2A-Version"));
  return typeof version === "string" && version !== "" ? version : undefined;
}

function wireOf({ request, rest }: A2aRequest, body: Body): WireRequest {
  return { http: request.method as WireRequest["http"], rest, body: body.bytes };
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

function attributesOf({ operation, dialect }: ReadRequest, status: number) {
  return {
    "http.response.status_code": status,
    "rpc.method": operation,
    "a2a.version": dialect.version,
    "a2a.binding": dialect.binding,
  };
}
