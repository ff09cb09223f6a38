import { a2aMannerOf } from "./a2a-manner.ts";
import type { A2aJourney } from "./a2a-journey.ts";
import type { HandedHead } from "../conversation.ts";
import type { AgentBudget } from "../budget.ts";
import type { Crossing, Decided, Passage, PassageParts } from "../passage.ts";

export interface StreamedCall {
  readonly journey: A2aJourney;
  readonly crossing: Crossing;
  readonly decided: Decided;
  /** What egress is to learn of it. */
  readonly head: HandedHead;
  readonly budget: AgentBudget;
}

export interface StreamParts extends Pick<PassageParts, "bus" | "streams"> {
  readonly passage: Passage;
}

/** Carries a call whose answer is a stream of events, or one answer where the agent refuses it. @throws Fault where nothing was written yet */
export async function carryStream({ passage }: StreamParts, call: StreamedCall): Promise<void> {
  const { journey, crossing, decided, head, budget } = call;
  const watch = head.a2a?.operation === "SubscribeToTask" ? head.a2a.known?.task?.watch : undefined;
  const owner = watch === undefined ? undefined : { instance: watch.egress, isNeeded: false };
  const manner = a2aMannerOf(journey, head, budget);
  await passage.converse(crossing, decided, { response: journey.response, head, manner, owner });
}
