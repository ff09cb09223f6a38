import type { Incoming } from "@sluice/bus";
import { decodeJson, encodeHeadAndBody, Fault, toFault, type CardAnswer, type CardQuestion } from "@sluice/contracts";
import type { AgentDirectory } from "./agent-directory.ts";
import type { Agents } from "./agents.ts";

export interface CardsOptions {
  readonly agents: Agents;
  readonly directory: AgentDirectory;
  readonly reply: (subject: string, payload: Uint8Array) => void;
}

const nothing = Buffer.alloc(0);

/** Tells ingress what an agent's card says, or why there is none. */
export async function answerCardQuestion({ agents, directory, reply }: CardsOptions, message: Incoming): Promise<void> {
  if (message.reply === undefined) return;
  const { tenant, agent: name, traceparent } = decodeJson<CardQuestion>(message.data);
  try {
    const agent = agents.find(tenant, name);
    if (agent === undefined)
      throw new Fault("upstream_failed", `the agent '${name}' is not usable: see the log of egress`);
    const { card, doubt } = await directory.cardOf(agent, traceparent);
    const head: CardAnswer = doubt === undefined ? {} : { isDoubtful: true };
    reply(message.reply, encodeHeadAndBody(head, Buffer.from(JSON.stringify(card))));
  } catch (error) {
    const { kind, message: words } = toFault(error);
    const head: CardAnswer = { fault: { kind, message: words } };
    reply(message.reply, encodeHeadAndBody(head, nothing));
  }
}
