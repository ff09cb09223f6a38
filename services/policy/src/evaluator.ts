import {
  compilePattern,
  isExact,
  type Pattern,
  type AccessRule,
  type PolicySection,
  type PolicyVerdict,
  type Protocol,
} from "@sluice/contracts";

/** What policy looks at in a call. */
interface Operation {
  readonly tenant: string;
  readonly agent: string;
  readonly protocol: Protocol;
  readonly method: string;
  /** The tool's name, where the method calls one. */
  readonly target?: string | undefined;
}

/** One version of the rules of every tenant. */
export interface Rulebook {
  /** The newest version among the tenants; 0 where there is none. */
  readonly version: number;
  readonly tenants: number;
  decide(operation: Operation): PolicyVerdict;
}

const toolCall = "tools/call";
/** Agents whose rules are kept ready per tenant; ids that come after push out the oldest. */
const readyAgents = 4_096;
/** A refusal names allowed tools up to this size, so that the refusals of a whole batch fit one message. */
const maxAllowedToolsBytes = 8_192;

const noTools: readonly string[] = [];
const mcpEnabled: PolicyVerdict = { ok: true, rule: "settings.mcp_enabled" };
const mcpDisabled: PolicyVerdict = {
  ok: false,
  rule: "settings.mcp_enabled",
  fault: "protocol_disabled",
  allowedTools: noTools,
};
const unknownProtocol: PolicyVerdict = {
  ok: false,
  rule: "settings.protocol",
  fault: "protocol_disabled",
  allowedTools: noTools,
};
const unknownTenant: PolicyVerdict = {
  ok: false,
  rule: "unknown-tenant",
  fault: "tool_access_denied",
  allowedTools: noTools,
};

/** Prepares the rules so that a decision costs the same however many of them name tools exactly. */
export function compileRules(sections: ReadonlyMap<string, PolicySection>): Rulebook {
  const tenants = new Map<string, TenantRules>();
  let version = 0;
  for (const [tenant, section] of sections) {
    tenants.set(tenant, new TenantRules(section));
    version = Math.max(version, section.version);
  }
  return {
    version,
    tenants: tenants.size,
    decide: (operation) => tenants.get(operation.tenant)?.decide(operation) ?? unknownTenant,
  };
}

class TenantRules {
  readonly #enabled: boolean;
  readonly #rules: readonly { readonly rule: AccessRule; readonly index: number; readonly appliesTo: Pattern }[];
  readonly #ready = new Map<string, AgentRules>();

  constructor(section: PolicySection) {
    this.#enabled = section.mcpEnabled;
    this.#rules = section.accessRules.map((rule, index) => ({
      rule,
      index,
      appliesTo: compilePattern(rule.agentPattern),
    }));
  }

  decide(operation: Operation): PolicyVerdict {
    if (operation.protocol !== "mcp") return unknownProtocol;
    if (!this.#enabled) return mcpDisabled;
    if (operation.method !== toolCall) return mcpEnabled;
    return this.#rulesOf(operation.agent).decide(operation.target);
  }

  #rulesOf(agent: string): AgentRules {
    const ready = this.#ready.get(agent);
    if (ready !== undefined) return ready;
    const rules = new AgentRules(this.#rules.filter(({ appliesTo }) => appliesTo(agent)));
    const [oldest] = this.#ready.keys();
    if (this.#ready.size >= readyAgents && oldest !== undefined) this.#ready.delete(oldest);
    this.#ready.set(agent, rules);
    return rules;
  }
}

/** Every rule that applies to one agent, taken together: a denial wins over a permission, and nothing is allowed by default. */
class AgentRules {
  readonly #denied = new VerdictTable();
  readonly #allowed = new VerdictTable();
  readonly #default: PolicyVerdict;

  constructor(rules: readonly { readonly rule: AccessRule; readonly index: number }[]) {
    const allowedTools = nameable(rules.flatMap(({ rule }) => rule.allowedTools));
    const refusal = (rule: string): PolicyVerdict => ({ ok: false, rule, fault: "tool_access_denied", allowedTools });
    for (const { rule, index } of rules) {
      rule.deniedTools.forEach((tool, at) =>
        this.#denied.add(tool, refusal(`accessRules[${index}].deniedTools[${at}]`)),
      );
      rule.allowedTools.forEach((tool, at) =>
        this.#allowed.add(tool, { ok: true, rule: `accessRules[${index}].allowedTools[${at}]` }),
      );
    }
    this.#default = refusal("default-deny");
  }

  decide(tool: string | undefined): PolicyVerdict {
    if (tool === undefined || tool === "") return this.#default;
    return this.#denied.find(tool) ?? this.#allowed.find(tool) ?? this.#default;
  }
}

/** The verdict for a name: of the first exact entry that is it, else of the first wildcard entry that fits. */
class VerdictTable {
  readonly #exact = new Map<string, PolicyVerdict>();
  readonly #wildcards: { readonly fits: Pattern; readonly verdict: PolicyVerdict }[] = [];

  add(pattern: string, verdict: PolicyVerdict): void {
    if (!isExact(pattern)) this.#wildcards.push({ fits: compilePattern(pattern), verdict });
    else if (!this.#exact.has(pattern)) this.#exact.set(pattern, verdict);
  }

  find(tool: string): PolicyVerdict | undefined {
    return this.#exact.get(tool) ?? this.#wildcards.find(({ fits }) => fits(tool))?.verdict;
  }
}

/** Each pattern once, in order, as far as a refusal has room for. */
function nameable(patterns: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let bytes = 0;
  for (const pattern of new Set(patterns)) {
    bytes += Buffer.byteLength(JSON.stringify(pattern)) + 1;
    if (bytes > maxAllowedToolsBytes) break;
    kept.push(pattern);
  }
  return kept;
}
