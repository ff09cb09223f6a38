import { a2aBindings, type A2aBinding } from "@sluice/contracts";
import type { AgentCard } from "./card.ts";
import {
  legacySecurity,
  modernSecurity,
  namedSchemes,
  oldAuthentication,
  type SecurityScheme,
} from "./card-security.ts";
import { isMembers, rewritten, without, type Members } from "./card-shape.ts";

/**
 * The card of 1.0, of 0.3, of 0.3 as its REST binding writes extended ones (proto-JSON), the one that clients of both read, and
 * the one of `agent.json`, which clients of 0.1 and 0.2 read.
 */
export type CardForm = "1.0" | "0.3" | "0.3-proto" | "both" | "old";

/** What the gateway says of an agent in the agent's place. */
export interface CardPlace {
  /** Where the gateway takes calls for the agent, such as https://gateway.example.com/a2a/planner. */
  readonly url: string;
  readonly schemes: readonly SecurityScheme[];
  /** Whether whoever reads it may see this skill. */
  readonly shows: (skill: string) => boolean;
  /** The gateway can tell clients of tasks by itself. */
  readonly pushes: boolean;
}

/** The card as the gateway offers the agent, in one form; not signed. */
export function renderCard(card: AgentCard, form: CardForm, place: CardPlace): Members {
  const { members } = card;
  const bindings = orderOf(card);
  const named = namedSchemes(place.schemes);
  const common = {
    ...without(members, rewritten),
    description: members["description"] ?? "",
    version: members["version"] ?? "",
    defaultInputModes: members["defaultInputModes"] ?? ["text/plain"],
    defaultOutputModes: members["defaultOutputModes"] ?? ["text/plain"],
    skills: card.skills.filter(({ id }) => place.shows(id)).map(shownSkill),
  };
  const legacy = () => ({
    ...legacyAddress(place.url, form === "old" ? ["JSONRPC"] : bindings),
    protocolVersion: form === "old" ? "0.2.6" : "0.3.0",
    supportsAuthenticatedExtendedCard: card.isExtendable,
  });
  const modern = () => ({ supportedInterfaces: modernAddress(place.url, bindings) });
  const capabilities = capabilitiesOf(card, form, place.pushes);
  if (form === "1.0") return { ...common, ...modern(), capabilities, ...modernSecurity(named) };
  if (form === "0.3") return { ...common, ...legacy(), capabilities, ...legacySecurity(named) };
  if (form === "0.3-proto") {
    const { securitySchemes, securityRequirements: security } = modernSecurity(named);
    return { ...common, ...legacy(), capabilities, securitySchemes, security };
  }
  if (form === "old")
    return { ...common, ...legacy(), capabilities, ...legacySecurity(named), authentication: oldAuthentication(named) };
  return { ...common, ...legacy(), ...modern(), capabilities, ...bothSecurity(named) };
}

/** The agent's own order, so that a client that takes the first finds what can pass as it is. */
function orderOf({ binding }: AgentCard): readonly A2aBinding[] {
  return [binding, ...a2aBindings.filter((other) => other !== binding)];
}

function legacyAddress(url: string, bindings: readonly A2aBinding[]) {
  return {
    url,
    preferredTransport: bindings[0],
    ...(bindings.length > 1 && { additionalInterfaces: bindings.map((transport) => ({ url, transport })) }),
  };
}

function modernAddress(url: string, bindings: readonly A2aBinding[]) {
  return (["1.0", "0.3"] as const).flatMap((protocolVersion) =>
    bindings.map((protocolBinding) => ({ url, protocolBinding, protocolVersion })),
  );
}

function capabilitiesOf(card: AgentCard, form: CardForm, pushes: boolean): Members {
  const { pushNotifications, stateTransitionHistory, extendedAgentCard: _, ...rest } = card.capabilities;
  return {
    ...rest,
    ...(pushNotifications !== undefined && { pushNotifications: pushNotifications === true && pushes }),
    ...(stateTransitionHistory !== undefined && form !== "1.0" && { stateTransitionHistory }),
    ...(card.isExtendable && (form === "1.0" || form === "both") && { extendedAgentCard: true }),
  };
}

/** What a skill wants of its caller is what the gateway wants. */
function shownSkill(skill: Members): Members {
  return without(skill, ownSecurity);
}

const ownSecurity: ReadonlySet<string> = new Set(["security", "securityRequirements"]);

/** Each scheme in the words of both: readers take the members that they know. */
function bothSecurity(named: ReturnType<typeof namedSchemes>): Members {
  const legacy = legacySecurity(named);
  const modern = modernSecurity(named);
  const merged = Object.entries(legacy.securitySchemes).map(([name, scheme]) => {
    const other = modern.securitySchemes[name];
    return [name, { ...scheme, ...(isMembers(other) && other) }];
  });
  return { ...legacy, ...modern, securitySchemes: Object.fromEntries(merged) as Members };
}
