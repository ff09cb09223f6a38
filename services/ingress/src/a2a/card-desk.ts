import type { IncomingMessage, ServerResponse } from "node:http";
import type { CardForm } from "@sluice/a2a";
import { Fault, toFault, type Dialect, type Intent } from "@sluice/contracts";
import { startSpan } from "@sluice/telemetry";
import type { JWK } from "jose";
import type { Authentication } from "../auth/authentication.ts";
import { Body } from "../body.ts";
import { thisMoment } from "../outcome.ts";
import type { Passage } from "../passage.ts";
import { quotaHeaders } from "../quota-headers.ts";
import { requireReach } from "../reach.ts";
import { RequestFault } from "../request-fault.ts";
import { header, pathOf, productOf } from "../request-head.ts";
import type { Streams } from "../streams.ts";
import { noSuchAgent, type Principal, type Tenants } from "../tenants.ts";
import { whoOf } from "../who.ts";
import type { CardPlaceOf, Cards } from "./cards.ts";

export interface CardDeskParts {
  readonly cards: Cards;
  readonly tenants: Tenants;
  readonly passage: Passage;
  readonly streams: Streams;
  readonly authentication: Pick<Authentication, "unknown">;
}

/** A request for a card. */
export interface CardRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Absent where nobody said who he is. */
  readonly principal: Principal | null;
  /** Named in the path; the default agent without one. */
  readonly agent: string | undefined;
  /** What a client gets that does not say which revision it speaks. */
  readonly unversioned: CardForm;
}

interface Told {
  readonly status: number;
  readonly bytes: number;
}

/** Where cards are read: by everybody what is for everybody; by who says who he is as any other call, admitted and recorded. */
export class CardDesk {
  readonly #parts: CardDeskParts;

  constructor(parts: CardDeskParts) {
    this.#parts = parts;
  }

  /** Public keys of the gateway's signatures. @throws Fault where there are none */
  keysFor(principal: Principal | null): { readonly keys: readonly JWK[] } {
    const { cards, authentication } = this.#parts;
    if (cards.keys.length > 0) return { keys: cards.keys };
    throw principal === null ? authentication.unknown() : new Fault("not_found", "there is nothing at this path");
  }

  /** Answers with an agent's card, or that it is still what the client has. @throws Fault */
  async serve(asked: CardRequest): Promise<void> {
    const { tenants } = this.#parts;
    const { principal, agent } = asked;
    if (principal === null) await this.#toAnybody(asked, this.#publicPlace(agent));
    else await this.#toCaller(asked, principal, ownPlace(tenants, principal, agent));
  }

  /** @throws Fault `unauthorized` where it cannot be told whose agent it is, or it is not for everybody */
  #publicPlace(name: string | undefined): CardPlaceOf {
    const { tenants, authentication } = this.#parts;
    const [only, another] = tenants.agentsCalled(name);
    if (only === undefined || another !== undefined || !only.isPublic) throw authentication.unknown();
    return only;
  }

  /** Who does not say who he is learns of no agent that he may not see. */
  async #toAnybody(asked: CardRequest, place: CardPlaceOf): Promise<void> {
    try {
      await this.#tell(asked, place, { "cache-control": "public, max-age=60" });
    } catch (error) {
      throw error instanceof Fault && error.kind === "not_found" ? this.#parts.authentication.unknown() : error;
    }
  }

  async #toCaller(asked: CardRequest, principal: Principal, place: CardPlaceOf): Promise<void> {
    const { passage, streams } = this.#parts;
    passage.requireCredential(principal);
    passage.requireRoom();
    const started = thisMoment();
    using body = new Body(Buffer.alloc(0));
    const span = startSpan("ingress card", "server", header(asked.request, "traceparent"));
    const client = productOf(asked.request);
    const intent: Intent = {
      call: streams.nextName().replace(".", "-"),
      at: started.at,
      trace: span.traceId,
      ...intentOf(asked, principal, place),
      ...(client !== undefined && { client }),
    };
    const { headers } = asked.request;
    const crossing = { principal, intent, headers, body, started, shape: { deniedWith200: false }, cut: () => {} };
    try {
      const { admitted, end } = await passage.admit(crossing);
      try {
        const quota = quotaHeaders(admitted.limit.quotas);
        end(await this.#tell(asked, place, { "cache-control": "private, max-age=60", ...quota }));
      } catch (error) {
        const fault = toFault(error);
        end({ status: fault.row.status, fault });
        throw error;
      }
      span.end();
    } catch (error) {
      const { kind } = toFault(error);
      span.end({ error: kind });
      // An agent that one may not call is none that one hears of.
      const told = kind === "agent_access_denied" ? noSuchAgent() : error;
      throw new RequestFault(told, { traceId: span.traceId, isOnRecord: true });
    }
  }

  async #tell(
    { request, response, principal, unversioned }: CardRequest,
    place: CardPlaceOf,
    more: Record<string, string>,
  ): Promise<Told> {
    const { cards, tenants } = this.#parts;
    const { body, etag } = await cards.served(place, formOf(request, unversioned), principal);
    const vary = ["A2A-Version", "Authorization", ...tenants.keyHeaders].join(", ");
    const fields = { etag, vary, ...more };
    if (isKnown(header(request, "if-none-match"), etag)) {
      response.writeHead(304, fields).end();
      return { status: 304, bytes: 0 };
    }
    const { length } = body;
    response.writeHead(200, { ...fields, "content-type": "application/json", "content-length": length }).end(body);
    return { status: 200, bytes: length };
  }
}

/** What the audit trail and those who admit learn of it. */
function intentOf({ request, unversioned }: CardRequest, principal: Principal, { tenant, agent }: CardPlaceOf) {
  return {
    label: "a2a_proxy",
    tenant,
    ...whoOf(principal),
    auth: principal.method,
    protocol: "a2a",
    era: "modern",
    http: "GET",
    path: pathOf(request),
    method: "GetAgentCard",
    target: agent,
    targetKind: "agents",
    server: agent,
    bytes: 0,
    a2a: { version: versions[formOf(request, unversioned)], binding: "HTTP+JSON" },
  } as const satisfies Partial<Intent>;
}

/** Without `A2A-Version` a client is of 0.3 (1.0 §3.6.2), or older. */
const versions: Readonly<Record<CardForm, Dialect["version"]>> = {
  "1.0": "1.0",
  "0.3": "0.3",
  "0.3-proto": "0.3",
  both: "0.3",
  old: "0.2",
};

function ownPlace(tenants: Tenants, principal: Principal, name: string | undefined): CardPlaceOf {
  const { tenant } = principal;
  const { agentEndpoints, a2aEnabled } = tenants.require(tenant);
  const found = name === undefined ? agentEndpoints[0] : agentEndpoints.find((one) => one.name === name);
  if (found === undefined || a2aEnabled === false) throw noSuchAgent();
  requireReach(principal, "a2a", found.name);
  return { tenant, agent: found.name };
}

/** `A2A-Version`, without its patch digits (1.0 §3.6.1); what is unknown is as if nothing were said. */
function formOf(request: IncomingMessage, unversioned: CardForm): CardForm {
  const query = request.url?.split("?", 2)[1];
  const said = header(request, "a2a-version") ?? new URLSearchParams(query).get("A2A-Version") ?? "";
  const [, version = ""] = /^(\d+\.\d+)(?:\.|$)/.exec(said) ?? [];
  return forms.get(version) ?? unversioned;
}

const forms: ReadonlyMap<string, CardForm> = new Map([
  ["1.0", "1.0"],
  ["0.3", "0.3"],
  ["0.2", "old"],
  ["0.1", "old"],
]);

/** RFC 9110 §13.1.2 */
function isKnown(said: string | undefined, etag: string): boolean {
  if (said === undefined) return false;
  return said.split(",").some((one) => ["*", etag, `W/${etag}`].includes(one.trim()));
}
