import type { AgentBudget } from "../budget.ts";
import type { Manner, Rewritten } from "../manner.ts";
import type { A2aJourney } from "./a2a-journey.ts";
import type { Cards } from "./cards.ts";

export interface ExtendedCardParts {
  readonly cards: Cards;
  readonly budget: AgentBudget;
}

/** The same manner, but that the card which the answer shows is the gateway's. */
export function withGatewayCard(
  manner: Manner,
  { principal, agent, read }: A2aJourney,
  { cards, budget }: ExtendedCardParts,
): Manner {
  const asked = { dialect: read.dialect, principal, agent: agent.name };
  return {
    ...manner,
    rewriteOf: (reply) => {
      if (reply.dialect === undefined) return undefined;
      const inner = manner.rewriteOf?.(reply);
      const { status, headers } = reply;
      const hold = budget.open();
      const finish = async (received: Rewritten): Promise<Rewritten> => {
        const contentType = received.headers["content-type"] ?? "";
        const { body } = await cards.rewritten({ status: received.status, contentType, body: received.body }, asked);
        const { etag: _, "content-length": __, ...kept } = received.headers;
        return { status: received.status, headers: kept, body };
      };
      return {
        book: inner?.book ?? ((bytes) => hold.resize(bytes)),
        run: async (body) => await finish(inner === undefined ? { status, headers, body } : await inner.run(body)),
      };
    },
  };
}
