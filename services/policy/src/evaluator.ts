import {
  compilePattern,
  type ListedKind,
  type Pattern,
  type PolicySection,
  type PolicyVerdict,
  type Protocol,
} from "@sluice/contracts";
import { AgentRules, type IndexedRule } from "./agent-rules.ts";

/** What policy looks at in a call. */
interface Operation {
  readonly tenant: string;
  readonly agent: string;
  readonly protocol: Protocol;
  readonly method: string;
  /** What the method acts on: a tool's or prompt's name, or a resource's URI. */
  readonly target?: string | undefined;
  /** What the target is, where the method does not say it. */
  readonly targetKind?: ListedKind | undefined;
}

/** One version of the rules of every tenant. */
export interface Rulebook {
  /** The newest version among the tenants; 0 where there is none. */
  readonly version: number;
  readonly tenants: number;
  decide(operation: Operation): PolicyVerdict;
  /** Whether a list may show this to the agent: where it may use it. */
  shows(listed: Omit<Operation, "method"> & { readonly kind: ListedKind }): boolean;
}

/** The methods that rules restrict, and what each acts on. */
const restricted: ReadonlyMap<string, ListedKind> = new Map([
  ["tools/call", "tools"],
  ["prompts/get", "prompts"],
  ["resources/read", "resources"],
  ["resources/subscribe", "resources"],
  ["resources/unsubscribe", "resources"],
]);
/** Its target is of either kind that can be completed. */
const completion = "completion/complete";
/** What using a thing of a list means. */
const methodOf: Readonly<Record<ListedKind, string>> = {
  tools: "tools/call",
  prompts: "prompts/get",
  resources: "resources/read",
};
/** Agents whose rules are kept ready per tenant; ids that come after push out the oldest. */
const readyAgents = 4_096;

const nothing: readonly string[] = [];
const mcpEnabled: PolicyVerdict = { ok: true, rule: "settings.mcp_enabled" };
const mcpDisabled: PolicyVerdict = {
  ok: false,
  rule: "settings.mcp_enabled",
  fault: "protocol_disabled",
  allowed: nothing,
};
const a2aEnabled: PolicyVerdict = { ok: true, rule: "settings.a2a_enabled" };
const a2aDisabled: PolicyVerdict = {
  ok: false,
  rule: "settings.a2a_enabled",
  fault: "protocol_disabled",
  allowed: nothing,
};
const unknownTenant: PolicyVerdict = {
  ok: false,
  rule: "unknown-tenant",
  fault: "tool_access_denied",
  allowed: nothing,
};

/** Prepares the rules so that a decision costs the same however many of them name things exactly. */
export function compileRules(sections: ReadonlyMap<string, PolicySection>): Rulebook {
  const tenants = new Map<string, TenantRules>();
  let version = 0;
  for (const [tenant, section] of sections) {
    tenants.set(tenant, new TenantRules(section));
    version = Math.max(version, section.version);
  }
  const decide = (operation: Operation) => tenants.get(operation.tenant)?.decide(operation) ?? unknownTenant;
  return {
    version,
    tenants: tenants.size,
    decide,
    shows: ({ kind, ...listed }) => decide({ ...listed, method: methodOf[kind] }).ok,
  };
}

class TenantRules {
  readonly #enabled: boolean;
  readonly #hasAgents: boolean;
  readonly #hide: boolean;
  readonly #rules: readonly (IndexedRule & { readonly appliesTo: Pattern })[];
  readonly #ready = new Map<string, AgentRules>();

  constructor(section: PolicySection) {
    this.#enabled = section.mcpEnabled;
    this.#hasAgents = section.a2aEnabled === true;
    this.#hide = section.hideDenied;
    this.#rules = section.accessRules.map((rule, index) => ({
      rule,
      index,
      appliesTo: compilePattern(rule.agentPattern),
    }));
  }

  decide(operation: Operation): PolicyVerdict {
    if (operation.protocol !== "mcp") return this.#hasAgents ? a2aEnabled : a2aDisabled;
    if (!this.#enabled) return mcpDisabled;
    const { method, target, targetKind = "prompts" } = operation;
    const kind = method === completion ? targetKind : restricted.get(method);
    // What subscribes to nothing is a method that the modern era does not have: the server says so.
    if (kind === "resources" && target === undefined) return mcpEnabled;
    return kind === undefined ? mcpEnabled : this.#rulesOf(operation.agent).decide(kind, target);
  }

  #rulesOf(agent: string): AgentRules {
    const ready = this.#ready.get(agent);
    if (ready !== undefined) return ready;
    const rules = new AgentRules(
      this.#rules.filter(({ appliesTo }) => appliesTo(agent)),
      this.#hide,
    );
    const [oldest] = this.#ready.keys();
    if (this.#ready.size >= readyAgents && oldest !== undefined) this.#ready.delete(oldest);
    this.#ready.set(agent, rules);
    return rules;
  }
}
