import { Fault, type Dialect, type FaultKind } from "@sluice/contracts";
import { translateAnswer, translateEvent, translateNotice } from "./answers.ts";
import { passAnswer, passBody, passNotice, passRequest, speakTheSame } from "./passing.ts";
import { coreParams, translateRequest } from "./requests.ts";
import type { Sides, WireAnswer, WireRequest } from "./wire.ts";

export { cardOf, mostCardBytes, parseCard, readCard, unusable, type AgentCard } from "./card.ts";
export { cardInAnswer } from "./card-answer.ts";
export { renderCard, type CardForm, type CardPlace } from "./card-render.ts";
export type { SecurityScheme } from "./card-security.ts";
export { isMembers, type Members } from "./card-shape.ts";
export { signCard, verifyCard, type CardKey, type CardKeys, type Verified } from "./card-signature.ts";
export { faultAnswer } from "./errors.ts";
export { observeAnswer, observeEvent } from "./observe.ts";
export { allRenames } from "./names.ts";
export { readRequest, UnreadRequest } from "./read.ts";
export { speakTheSame } from "./passing.ts";
export { StreamMemory } from "./stream-memory.ts";
export { requestForTenant } from "./tenant.ts";
export { taskEvent, TaskView, updatesOf01 } from "./task-view.ts";
export { clientOf } from "./unsure.ts";
export type { Observed, ReadRequest, Sides, WireAnswer, WireRequest } from "./wire.ts";

/** The client's request in the upstream's dialect; the very same bytes where that is the same and nothing is renamed. @throws Fault */
export function requestFor(sides: Sides, request: WireRequest): WireRequest {
  return speakTheSame(sides)
    ? passRequest(sides, request)
    : faulty("invalid_params", () => translateRequest(sides, request));
}

/** Translating holds up whoever else is served: a second of CPU for some 14 MiB. */
const mostTranslatedBytes = 8 * 1024 * 1024;

type Params = Readonly<Record<string, unknown>>;

/** What a client's request asks for, as 1.0 names it, in the upstream's ids. @throws Fault */
export function paramsOf(sides: Omit<Sides, "upstream">, request: WireRequest): Params {
  return faulty("invalid_params", () => JSON.parse(JSON.stringify(coreParams(sides, request))) as Params);
}

/** The upstream's answer in the client's dialect; the very same bytes where that is the same and nothing is renamed. @throws Fault `upstream_failed` */
export function answerFor(sides: Sides, answer: WireAnswer): WireAnswer {
  if (speakTheSame(sides)) return passAnswer(sides, answer);
  if (answer.body.length > mostTranslatedBytes) {
    throw new Fault(
      "upstream_failed",
      `the agent's answer has more than ${mostTranslatedBytes / 1024 ** 2} MiB, which is too large to be translated`,
    );
  }
  return fromAgent(() => translateAnswer(sides, answer));
}

/** The data of one event of the upstream's stream as the data of none, one or several events of the client's. @throws Fault `upstream_failed` */
export function eventsFor(sides: Sides, data: Buffer): readonly Buffer[] {
  return speakTheSame(sides) ? [passBody(sides, data)] : fromAgent(() => translateEvent(sides, data));
}

/** What an agent posts to a webhook, in the words of the revision that the webhook was registered with: one body for each post. @throws Fault `upstream_failed` */
export function noticesFor(sides: Sides, body: Buffer): readonly Buffer[] {
  const isSame = speakTheSame({ client: inJson(sides.client), upstream: inJson(sides.upstream) });
  return isSame ? [passNotice(sides, body)] : fromAgent(() => translateNotice(sides, body));
}

/** A webhook gets the same JSON whichever binding its owner speaks. */
function inJson({ version }: Dialect): Dialect {
  return { version, binding: "JSONRPC" };
}

/** What an agent tells wrongly is never its client's fault. */
function fromAgent<Told>(translate: () => Told): Told {
  try {
    return faulty("upstream_failed", translate);
  } catch (thrown) {
    if (thrown instanceof Fault && thrown.kind !== "upstream_failed") {
      throw new Fault("upstream_failed", `the agent's answer cannot be translated: ${thrown.message}`, {
        cause: thrown,
      });
    }
    throw thrown;
  }
}

/** Such as nesting that is too deep to walk. */
function faulty<Told>(kind: FaultKind, translate: () => Told): Told {
  try {
    return translate();
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault(kind, "this cannot be translated", { cause: thrown });
  }
}
