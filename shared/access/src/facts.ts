import type { Agent, Intent } from "@sluice/contracts";
import { isRawNumber } from "@sluice/json";
import { Effort } from "./effort.ts";
import { Members, spoil } from "./members.ts";

/** What conditions may look at in a call. */
export interface Call extends Pick<Intent, "issuer" | "user" | "scopes"> {
  readonly tenant: string;
  readonly agent: Agent;
  readonly method: string;
  readonly target?: string | undefined;
  /** The arguments; what conditions say of them is open where they are not known. */
  readonly args?: unknown;
}

/** What a condition says about, as it reads it. */
export interface Facts {
  readonly tenant: string;
  readonly method: string;
  readonly target: string;
  readonly agent: { readonly id: string; readonly name?: string; readonly owner?: string };
  readonly token: { readonly scopes: readonly string[]; readonly issuer?: string };
  readonly user: { readonly id?: string };
  /** The arguments of the call; absent where they are not known. */
  readonly args?: unknown;
  /** No variable: what looking at the call may still take. */
  readonly effort: Effort;
}

/** The variables of a condition and their types in CEL; a member that is absent makes a condition that reads it fail. */
export const variables = {
  tenant: "string",
  method: "string",
  target: "string",
  agent: { id: "string", name: "string", owner: "string" },
  token: { scopes: "list<string>", issuer: "string" },
  user: { id: "string" },
  args: "map",
} as const;

/** What is known of a call, laid out for conditions. */
export function factsOf({ tenant, agent, issuer, user, scopes, method, target = "", args }: Call): Facts {
  const { id, name, owner } = agent;
  const effort = new Effort();
  return {
    tenant,
    method,
    target,
    agent: { id, ...(name !== undefined && { name }), ...(owner !== undefined && { owner }) },
    token: { scopes: scopes ?? [], ...(issuer !== undefined && { issuer }) },
    user: user === undefined ? {} : { id: user },
    ...(args !== undefined && { args: isRawNumber(args) ? null : mapped(args, effort) }),
    effort,
  };
}

/** Objects as maps: whatever their members are called, none of them means anything to JavaScript. */
function mapped(value: unknown, effort: Effort): unknown {
  if (typeof value === "string") effort.characters += value.length;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return mappedList(value, effort);
  const members = new Members();
  for (const [name, member] of Object.entries(value)) {
    effort.values++;
    effort.characters += name.length;
    if (isRawNumber(member)) members.addInexact(name);
    else members.set(name, mapped(member, effort));
  }
  return members;
}

function mappedList(list: readonly unknown[], effort: Effort): unknown[] {
  effort.values += list.length;
  const elements: unknown[] = list.map((element) => (isRawNumber(element) ? null : mapped(element, effort)));
  for (const [index, element] of list.entries()) if (isRawNumber(element)) spoil(elements, index);
  return elements;
}
