import type { ServerPlace, ToolPinStore } from "@sluice/bus";
import { Fault, type Action, type PinState, type SeenDefinition, type ToolPin } from "@sluice/contracts";
import { lastApproved, maxRounds, type RegistryOptions } from "./registry.ts";

export interface Decision extends ServerPlace {
  readonly tool: string;
  /** Whose hash; all that wait, where it is not said. */
  readonly definition?: string | undefined;
  readonly state: Exclude<PinState, "pending">;
  readonly operator: string;
}

/** Decides about definitions in an operator's name; resolves once that is in force. @throws Fault */
export async function decide(
  { store: open, record, now }: Pick<RegistryOptions, "store" | "record" | "now">,
  decision: Decision,
): Promise<ToolPin> {
  const { tool, tenant, server } = decision;
  const place = { tenant, server };
  const store = await open();
  for (let round = 0; round < maxRounds; round++) {
    const kept = await requirePin(store, place, tool);
    const pin = pinDecided(kept.pin, decision, now());
    await record([eventOf(decision, kept.pin, now())]);
    if ((await store.replace(place, pin, kept.revision)) !== undefined) return pin;
  }
  throw new Fault("unavailable", "the tool is being changed by others all the time: try again");
}

/** @throws Fault `not_found` for a tool that was never seen */
export async function requirePin(store: ToolPinStore, place: ServerPlace, tool: string) {
  const kept = await store.get(place, tool);
  if (kept === undefined)
    throw new Fault("not_found", "no such tool was seen: its server's definitions may not be pinned");
  return kept;
}

/** Approving one definition is rejecting what else waits. @throws Fault `not_found`, `conflict` */
export function pinDecided(
  pin: ToolPin,
  { definition, state, operator }: Pick<Decision, "definition" | "state" | "operator">,
  now: number,
): ToolPin {
  const isMeant = (one: SeenDefinition) =>
    definition === undefined ? one.state === "pending" : one.hash === definition;
  if (!pin.definitions.some(isMeant)) {
    if (definition === undefined) throw new Fault("conflict", "no definition of this tool waits for a decision");
    throw new Fault("not_found", "the tool was not seen with this definition");
  }
  const decided = (one: SeenDefinition, to: PinState): SeenDefinition => ({
    ...one,
    state: to,
    decidedAt: now,
    by: operator,
  });
  return {
    ...pin,
    definitions: pin.definitions.map((one) => {
      if (isMeant(one)) return decided(one, state);
      return state === "approved" && one.state === "pending" ? decided(one, "rejected") : one;
    }),
  };
}

let number = 0;

function eventOf({ tenant, server, tool, definition, state, operator }: Decision, before: ToolPin, at: number): Action {
  const previous = lastApproved(before);
  return {
    id: `tool-${at.toString(36)}-${process.pid}-${number++}`,
    at,
    operator,
    action: `tools.${state}`,
    tenant,
    server,
    target: tool,
    ...(definition !== undefined && { definition }),
    ...(previous !== undefined && { previousDefinition: previous }),
    result: "noted",
  };
}
