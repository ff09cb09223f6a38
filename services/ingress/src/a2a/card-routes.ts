import type { FastifyInstance, FastifyRequest } from "fastify";
import { methodRefusal, others, type Fail } from "../doors.ts";
import type { CardDesk } from "./card-desk.ts";
import { jwksPath } from "./cards.ts";

export interface CardDoors {
  readonly cardDesk: CardDesk;
}

const places = ["", "/a2a/:agent"] as const;
/** Where clients look from 0.3 on, and before. */
const files = { "/.well-known/agent-card.json": "both", "/.well-known/agent.json": "old" } as const;

type CardRequest = FastifyRequest<{ Params: { agent?: string } }>;

/** The paths of cards, where nobody has to say who he is, and of the keys that they are signed with. */
export function addCards(app: FastifyInstance, { cardDesk }: CardDoors, fail: Fail): void {
  for (const place of places)
    for (const [file, unversioned] of Object.entries(files)) {
      const url = place + file;
      const handler = (request: CardRequest, reply: Parameters<Fail>[0]) => {
        reply.hijack();
        const { principal, raw, params } = request;
        const wanted = { request: raw, response: reply.raw, principal, agent: params.agent, unversioned };
        cardDesk.serve(wanted).catch((error: unknown) => fail(reply, error));
      };
      app.get(url, { exposeHeadRoute: false, config: { takesAnybody: true }, handler });
      app.route({ ...others(url, ["GET"]), handler: (_, reply) => fail(reply, methodRefusal(reply, ["GET"])) });
    }
  const showKeys = ({ principal }: CardRequest, reply: Parameters<Fail>[0]) => {
    reply.hijack();
    try {
      const body = JSON.stringify(cardDesk.keysFor(principal));
      const fields = { "content-type": "application/json", "cache-control": "public, max-age=60" };
      reply.raw.writeHead(200, { ...fields, "content-length": Buffer.byteLength(body) }).end(body);
    } catch (error) {
      fail(reply, error);
    }
  };
  app.get(jwksPath, { exposeHeadRoute: false, config: { takesAnybody: true }, handler: showKeys });
  app.route({ ...others(jwksPath, ["GET"]), handler: (_, reply) => fail(reply, methodRefusal(reply, ["GET"])) });
}
