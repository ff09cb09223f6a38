import { setTimeout as delay } from "node:timers/promises";
import type { Bus } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  Fault,
  subjects,
  type Agent,
  type FilterAnswer,
  type FilterQuestion,
  type Intent,
} from "@sluice/contracts";

/** Whoever reads a card, as rules know callers. */
export type Reader = Pick<Intent, "agent" | "issuer" | "user" | "scopes">;

/** Who does not say who he is: only rules for every agent are about him. */
export const anybody: Agent = { id: "" };

/** Names in one question, so that it fits one message. */
const mostNames = 250;
const timeoutMs = 2_000;
/** What a replica of policy with older rules is given to take over the current ones, doubled each time. */
const firstGraceMs = 50;
const mostTries = 5;

/** What of `names` a reader may see of an agent, by rules at least as new as these. @throws Fault `unavailable` */
export async function visible(
  bus: Bus,
  question: Reader & Pick<FilterQuestion, "tenant" | "server" | "kind" | "names">,
  version: number,
): Promise<ReadonlySet<string>> {
  const { agent, issuer, user, scopes, tenant, server, kind, names } = question;
  const shown = new Set<string>();
  for (let at = 0; at < names.length; at += mostNames) {
    const slice = names.slice(at, at + mostNames);
    const asked: FilterQuestion = {
      ...{ tenant, server, kind, agent, protocol: "a2a" },
      ...(issuer !== undefined && { issuer }),
      ...(user !== undefined && { user }),
      ...(scopes !== undefined && { scopes }),
      names: slice,
    };
    const keep = await filter(bus, asked, version);
    for (const [index, name] of slice.entries()) if (keep[index] === true) shown.add(name);
  }
  return shown;
}

async function filter(bus: Bus, question: FilterQuestion, version: number): Promise<readonly boolean[]> {
  for (let tries = 0; tries < mostTries; tries++) {
    const { data } = await bus.ask(subjects.ask("policy", "filter"), encodeJson(question), { timeoutMs });
    const answer = decodeJson<FilterAnswer>(data);
    if (answer.version >= version) return answer.keep;
    await delay(firstGraceMs * 2 ** tries);
  }
  throw new Fault("unavailable", "access rules could not be asked: try again");
}
