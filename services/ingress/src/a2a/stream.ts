import type { AgentBudget } from "../budget.ts";
import type { HandedHead } from "../conversation.ts";
import type { Crossing, Decided, Passage, PassageParts } from "../passage.ts";
import type { A2aJourney } from "./a2a-journey.ts";
import { StreamReading } from "./stream-reading.ts";

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
export async function carryStream(parts: StreamParts, call: StreamedCall): Promise<void> {
  await new StreamReading(parts, call).run();
}
