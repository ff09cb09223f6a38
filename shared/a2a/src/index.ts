import { Fault, type A2aOperation, type Dialect } from "@sluice/contracts";
import type { Observed, ReadRequest, Sides, WireAnswer, WireRequest } from "./wire.ts";

export { cardOf, mostCardBytes, parseCard, readCard, unusable, type AgentCard, type CardInterface } from "./card.ts";
export { renderCard, type CardForm, type CardPlace } from "./card-render.ts";
export type { SecurityScheme } from "./card-security.ts";
export { isMembers, type Members } from "./card-shape.ts";
export { signCard, verifyCard, type CardKey, type CardKeys, type Verified } from "./card-signature.ts";
export type { Observed, ReadRequest, Sides, WireAnswer, WireRequest } from "./wire.ts";

const unbuilt = (): never => {
  throw new Fault("internal", "not built yet");
};

/** Which dialect a request is in, and what it is about. `version` is `A2A-Version`, where the client sent one. @throws Fault */
export function readRequest(_request: WireRequest & { readonly version?: string }): Promise<ReadRequest> {
  return unbuilt();
}

/** The client's request in the upstream's dialect; the very same bytes where that is the same and nothing is renamed. @throws Fault */
export function requestFor(_sides: Sides, _request: WireRequest): WireRequest {
  return unbuilt();
}

/** The upstream's answer in the client's dialect; the very same bytes where that is the same and nothing is renamed. @throws Fault `upstream_failed` */
export function answerFor(_sides: Sides, _answer: WireAnswer): WireAnswer {
  return unbuilt();
}

/** The data of one event of the upstream's stream as the data of none, one or several events of the client's. @throws Fault */
export function eventsFor(_sides: Sides, _data: Buffer): readonly Buffer[] {
  return unbuilt();
}

/** What an answer says. */
export function observeAnswer(_dialect: Dialect, _operation: A2aOperation, _answer: WireAnswer): Observed {
  return unbuilt();
}

/** What the data of one event says. */
export function observeEvent(_dialect: Dialect, _data: Buffer): Observed {
  return unbuilt();
}

/** A fault of the gateway's own as the client's dialect tells errors. */
export function faultAnswer(_dialect: Dialect, _fault: Fault, _rpcId?: string): WireAnswer {
  return unbuilt();
}
