import { a2aBindings, Fault, type A2aBinding } from "@sluice/contracts";
import { compile, explain, parseExact, scan } from "@sluice/json";
import {
  capabilityChecks,
  cardChecks,
  isMembers,
  passing,
  providerChecks,
  skillChecks,
  type Members,
} from "./card-shape.ts";

/** Bytes of a card; a larger one is refused. */
export const mostCardBytes = 512 * 1024;
const mostSkills = 1_000;
const limits = { maxDepth: 24, maxTokenBytes: 1_024, maxItems: 10_000 };
const nothingWanted = compile([], []);

/** An agent's card of any revision, checked: known members are of their types, what is unknown is as it was. */
export interface AgentCard {
  readonly members: Members;
  readonly capabilities: Members;
  readonly skills: readonly (Members & { readonly id: string })[];
  /** Which comes first where the gateway offers both. */
  readonly binding: A2aBinding;
  /** The agent has more to say to those who say who they are. */
  readonly isExtendable: boolean;
}

/** Reads a card. @throws Fault `upstream_failed`, which says what is wrong with it */
export function readCard(bytes: Buffer): AgentCard {
  return cardOf(parseCard(bytes));
}

/** The document, with no member that a careless reader could trip over. @throws Fault `upstream_failed` */
export function parseCard(bytes: Buffer): Members {
  if (bytes.length > mostCardBytes) throw unusable(`has more than ${mostCardBytes} bytes`);
  const read = scan(bytes, nothingWanted, limits);
  if (!read.ok) throw unusable(`cannot be read: ${explain(read.error)}`);
  const document = harmless(parseExact(bytes.toString("utf8")));
  if (!isMembers(document)) throw unusable("is no JSON object");
  return document;
}

/** @throws Fault `upstream_failed` */
export function cardOf(document: Members): AgentCard {
  const { name } = document;
  if (typeof name !== "string" || name === "") throw unusable("has no name");
  const capabilities = isMembers(document["capabilities"]) ? passing(document["capabilities"], capabilityChecks) : {};
  const members = passing(document, cardChecks);
  const { provider } = members;
  return {
    members: isMembers(provider) ? { ...members, provider: passing(provider, providerChecks) } : members,
    capabilities,
    skills: skillsOf(document["skills"]),
    binding: preferredOf(document),
    isExtendable: capabilities["extendedAgentCard"] === true || document["supportsAuthenticatedExtendedCard"] === true,
  };
}

export function unusable(what: string): Fault {
  return new Fault("upstream_failed", `the agent's card ${what}`);
}

/** The same without members that mean something to JavaScript where they are assigned. */
function harmless(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(harmless);
  if (!isMembers(value)) return value;
  const members = Object.entries(value).filter(([name]) => !tripping.has(name));
  return Object.fromEntries(members.map(([name, member]) => [name, harmless(member)]));
}

const tripping: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

function skillsOf(listed: unknown): AgentCard["skills"] {
  if (listed === undefined || listed === null) return [];
  if (!Array.isArray(listed)) throw unusable("has skills that are no list");
  if (listed.length > mostSkills) throw unusable(`has more than ${mostSkills} skills`);
  return listed.flatMap((one: unknown) => {
    if (!isMembers(one)) return [];
    const { id } = one;
    return typeof id === "string" && id !== "" ? [{ ...passing(one, skillChecks), id }] : [];
  });
}

/** What the agent itself would be spoken to by, where that is served here. */
function preferredOf(document: Members): A2aBinding {
  const { supportedInterfaces, preferredTransport } = document;
  const [first]: readonly unknown[] = Array.isArray(supportedInterfaces) ? supportedInterfaces : [];
  const said = isMembers(first) ? first["protocolBinding"] : preferredTransport;
  return a2aBindings.find((binding) => binding === said) ?? "JSONRPC";
}
