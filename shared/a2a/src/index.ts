import { Fault } from "@sluice/contracts";
import { passAnswer, passBody, passRequest, speakTheSame } from "./passing.ts";
import type { Sides, WireAnswer, WireRequest } from "./wire.ts";

export { cardOf, mostCardBytes, parseCard, readCard, unusable, type AgentCard } from "./card.ts";
export { renderCard, type CardForm, type CardPlace } from "./card-render.ts";
export type { SecurityScheme } from "./card-security.ts";
export { isMembers, type Members } from "./card-shape.ts";
export { signCard, verifyCard, type CardKey, type CardKeys, type Verified } from "./card-signature.ts";
export { faultAnswer } from "./errors.ts";
export { observeAnswer, observeEvent } from "./observe.ts";
export { readRequest, UnreadRequest } from "./read.ts";
export { taskEvent, TaskView } from "./task-view.ts";
export { speakTheSame } from "./passing.ts";
export type { Observed, ReadRequest, Sides, WireAnswer, WireRequest } from "./wire.ts";

const unbuilt = (): never => {
  throw new Fault("unsupported_operation", "not translated yet");
};

/** The client's request in the upstream's dialect; the very same bytes where that is the same and nothing is renamed. @throws Fault */
export function requestFor(sides: Sides, request: WireRequest): WireRequest {
  return speakTheSame(sides) ? passRequest(sides, request) : unbuilt();
}

/** The upstream's answer in the client's dialect; the very same bytes where that is the same and nothing is renamed. @throws Fault `upstream_failed` */
export function answerFor(sides: Sides, answer: WireAnswer): WireAnswer {
  return speakTheSame(sides) ? passAnswer(sides, answer) : unbuilt();
}

/** The data of one event of the upstream's stream as the data of none, one or several events of the client's. @throws Fault */
export function eventsFor(sides: Sides, data: Buffer): readonly Buffer[] {
  return speakTheSame(sides) ? [passBody(sides, data)] : unbuilt();
}
