import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { CardForm } from "@sluice/a2a";
import { Fault } from "@sluice/contracts";
import { methodRefusal, others, type Fail } from "../doors.ts";
import { requireReach } from "../reach.ts";
import { header } from "../request-head.ts";
import { noSuchAgent, type Principal, type Tenants } from "../tenants.ts";
import type { CardPlaceOf, Cards } from "./cards.ts";

export interface CardDoors {
  readonly cards: Cards;
  readonly tenants: Tenants;
}

const places = ["", "/a2a/:agent"] as const;
/** Where clients look from 0.3 on, and before. */
const files = { "/.well-known/agent-card.json": "both", "/.well-known/agent.json": "old" } as const;
const jwksPath = "/.well-known/jwks.json";

type CardRequest = FastifyRequest<{ Params: { agent?: string } }>;

/** The paths of cards, where nobody has to say who he is, and of the keys that they are signed with. */
export function addCards(app: FastifyInstance, { cards, tenants }: CardDoors, fail: Fail): void {
  for (const place of places)
    for (const [file, unversioned] of Object.entries(files)) {
      const url = place + file;
      const handler = (request: CardRequest, reply: Parameters<Fail>[0]) => {
        reply.hijack();
        const { principal, raw, params } = request;
        serveCard(
          { cards, tenants },
          { request: raw, response: reply.raw, principal, agent: params.agent, unversioned },
        ).catch((error: unknown) => fail(reply, error));
      };
      app.get(url, { exposeHeadRoute: false, config: { takesAnybody: true }, handler });
      app.route({ ...others(url, ["GET"]), handler: (_, reply) => fail(reply, methodRefusal(reply, ["GET"])) });
    }
  app.get(jwksPath, { exposeHeadRoute: false, config: { takesAnybody: true } }, (_request, reply) => {
    if (cards.keys.length === 0) return void fail(reply, new Fault("not_found", "there is nothing at this path"));
    const body = JSON.stringify({ keys: cards.keys });
    const fields = { "content-type": "application/json", "cache-control": "public, max-age=60" };
    reply.hijack();
    reply.raw.writeHead(200, { ...fields, "content-length": Buffer.byteLength(body) }).end(body);
  });
  app.route({ ...others(jwksPath, ["GET"]), handler: (_, reply) => fail(reply, methodRefusal(reply, ["GET"])) });
}

interface Wanted {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly principal: Principal | null;
  readonly agent: string | undefined;
  /** What a client gets that does not say which revision it speaks. */
  readonly unversioned: CardForm;
}

/** Answers with an agent's card, or that it is still what the client has. @throws Fault */
export async function serveCard({ cards, tenants }: CardDoors, wanted: Wanted): Promise<void> {
  const { request, response, principal } = wanted;
  const place = principal === null ? publicPlace(tenants, wanted.agent) : ownPlace(tenants, principal, wanted.agent);
  const { body, etag } = await cards.served(place, formOf(request, wanted.unversioned), principal).catch((error) => {
    throw principal === null ? toAnybody(error) : error;
  });
  const fields = {
    etag,
    vary: ["A2A-Version", "Authorization", ...tenants.keyHeaders].join(", "),
    "cache-control": principal === null ? "public, max-age=60" : "private, max-age=60",
  };
  if (isKnown(header(request, "if-none-match"), etag)) return void response.writeHead(304, fields).end();
  response.writeHead(200, { ...fields, "content-type": "application/json", "content-length": body.length }).end(body);
}

function ownPlace(tenants: Tenants, principal: Principal, name: string | undefined): CardPlaceOf {
  const { tenant } = principal;
  const { agentEndpoints, a2aEnabled } = tenants.require(tenant);
  const found = name === undefined ? agentEndpoints[0] : agentEndpoints.find((one) => one.name === name);
  if (found === undefined || a2aEnabled === false) throw noSuchAgent();
  requireReach(principal, found.name);
  return { tenant, agent: found.name };
}

/** @throws Fault `unauthorized` where it cannot be told whose agent it is, or it is not for everybody */
function publicPlace(tenants: Tenants, name: string | undefined): CardPlaceOf {
  const found = tenants.agentsCalled(name);
  const [only, another] = found;
  if (only === undefined || another !== undefined || !only.isPublic) throw unknownReader();
  return only;
}

/** Who does not say who he is learns of no agent that he may not see. */
function toAnybody(error: unknown): unknown {
  return error instanceof Fault && error.kind === "not_found" ? unknownReader() : error;
}

function unknownReader(): Fault {
  return new Fault("unauthorized", "say who you are: there is no card here for everybody");
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
