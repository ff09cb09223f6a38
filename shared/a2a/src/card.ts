import { a2aBindings, a2aVersions, Fault, type A2aBinding, type A2aVersion, type Dialect } from "@sluice/contracts";
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
const mostInterfaces = 32;
const limits = { maxDepth: 24, maxTokenBytes: 1_024, maxItems: 10_000 };
const nothingWanted = compile([], []);

/** One way to call an agent, as its card offers it. */
export interface CardInterface {
  readonly url: string;
  readonly dialect: Dialect;
  /** What the agent wants named in each call (1.0 §4.4.6). */
  readonly tenant?: string;
}

/** An agent's card of any revision, checked: known members are of their types, what is unknown is as it was. */
export interface AgentCard {
  readonly members: Members;
  readonly capabilities: Members;
  readonly skills: readonly (Members & { readonly id: string })[];
  /** Those that can be spoken to, the one that the agent prefers first; gRPC is not among them. */
  readonly interfaces: readonly CardInterface[];
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
    interfaces: interfacesOf(document),
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

function interfacesOf(document: Members): CardInterface[] {
  const offered = [...modernInterfaces(document["supportedInterfaces"]), ...legacyInterfaces(document)];
  const byDialect = new Map<string, CardInterface>();
  for (const one of offered.slice(0, mostInterfaces)) {
    const key = `${one.dialect.version} ${one.dialect.binding}`;
    if (!byDialect.has(key)) byDialect.set(key, one);
  }
  return [...byDialect.values()];
}

function modernInterfaces(listed: unknown): CardInterface[] {
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((one: unknown) => {
    if (!isMembers(one)) return [];
    const { protocolBinding, protocolVersion = "1.0", tenant } = one;
    const found = interfaceOf(one["url"], protocolBinding, protocolVersion);
    return typeof tenant === "string" && tenant !== "" ? found.map((offer) => ({ ...offer, tenant })) : found;
  });
}

/** Up to 0.3 a card has one address, how it is spoken to there, and others beside it; what it leaves out tells 0.1 from 0.2. */
function legacyInterfaces(document: Members): CardInterface[] {
  const { url, preferredTransport = "JSONRPC", additionalInterfaces, authentication } = document;
  const { protocolVersion = authentication === undefined ? "0.2" : "0.1" } = document;
  const others: readonly unknown[] = Array.isArray(additionalInterfaces) ? additionalInterfaces : [];
  return [
    ...interfaceOf(url, preferredTransport, protocolVersion),
    ...others.flatMap((one) => (isMembers(one) ? interfaceOf(one["url"], one["transport"], protocolVersion) : [])),
  ];
}

function interfaceOf(url: unknown, binding: unknown, version: unknown): CardInterface[] {
  const dialect = dialectOf(binding, version);
  if (dialect === undefined || typeof url !== "string" || !URL.canParse(url)) return [];
  const { protocol, username, password } = new URL(url);
  return /^https?:$/.test(protocol) && username + password === "" ? [{ url, dialect }] : [];
}

function dialectOf(binding: unknown, version: unknown): Dialect | undefined {
  if (typeof binding !== "string" || typeof version !== "string") return undefined;
  const spoken = a2aBindings.find((known): known is A2aBinding => known === binding.toUpperCase());
  const revision = a2aVersions.find(
    (known): known is A2aVersion => version === known || version.startsWith(`${known}.`),
  );
  if (spoken === undefined || revision === undefined) return undefined;
  // REST came with 0.3.
  return spoken === "HTTP+JSON" && revision < "0.3" ? undefined : { version: revision, binding: spoken };
}
