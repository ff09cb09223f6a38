import type { PolicySection, PolicyVerdict, Protocol, TargetKind } from "@sluice/contracts";
import { AgentRules, type Shared } from "./agent-rules.ts";
import { compileAll } from "./compiled-rule.ts";
import type { Call } from "./facts.ts";
import { Inquiry } from "./inquiry.ts";
import { indexed, PatternIndex, type Indexed } from "./pattern-index.ts";
import { kinds } from "./kinds.ts";
import { Recent } from "./recent.ts";
import { RuleGroup } from "./rule-group.ts";

/** What policy looks at in a call. */
export interface Operation extends Call {
  readonly protocol: Protocol;
  /** What the target is, where the method does not say it. */
  readonly targetKind?: TargetKind | undefined;
  /** The arguments will not be known: what depends on them is decided as for a list. */
  readonly asListed?: boolean | undefined;
}

/** One version of the rules of every tenant. */
export interface Rulebook {
  /** The newest version among the tenants; 0 where there is none. */
  readonly version: number;
  readonly tenants: number;
  /** Decides as far as it can be decided: `needsArguments` stands in a verdict that holds only once they are known. */
  decide(operation: Operation): PolicyVerdict;
  /** Whether a list may show this to the agent: where it may use it, be it with some arguments only. */
  shows(listed: Omit<Operation, "method" | "args"> & { readonly kind: TargetKind }): boolean;
  /** What decides about a call, where rules do. */
  rulesFor(operation: Operation): Consulted | undefined;
}

/** The rules that a call is decided by. */
interface Consulted {
  readonly rules: AgentRules;
  readonly kind: TargetKind;
  readonly inquiry: Inquiry;
  /** Rules that the tenant has. */
  readonly total: number;
}

/** The methods of MCP that rules restrict, and what each acts on; over A2A every operation acts on an agent. */
const restricted: ReadonlyMap<string, TargetKind> = new Map([
  ["tools/call", "tools"],
  ["prompts/get", "prompts"],
  ["resources/read", "resources"],
  ["resources/subscribe", "resources"],
  ["resources/unsubscribe", "resources"],
]);
/** Its target is of either kind that can be completed. */
const completion = "completion/complete";
/** What using a thing of a list means. */
const methodOf: Readonly<Record<TargetKind, string>> = {
  tools: "tools/call",
  prompts: "prompts/get",
  resources: "resources/read",
  agents: "SendMessage",
  skills: "GetAgentCard",
};
/** Agents whose rules are known, and sets of rules that are kept ready, per tenant. */
const readyAgents = 16_384;
const readySets = 2_048;
/** Sets of rules of which what they allow is kept ready to be named in refusals. */
const readyNames = 256;

const nothing: readonly string[] = [];
const noArguments = {};
const mcpEnabled: PolicyVerdict = { ok: true, rule: "settings.mcp_enabled" };
const mcpDisabled: PolicyVerdict = {
  ok: false,
  rule: "settings.mcp_enabled",
  fault: "protocol_disabled",
  allowed: nothing,
};
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

/** Prepares the rules so that a decision costs the same however many there are, of them and of agents. */
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
    shows: ({ kind, ...listed }) => decide({ ...listed, method: methodOf[kind], targetKind: kind }).ok,
    rulesFor: (operation) => tenants.get(operation.tenant)?.rulesFor(operation),
  };
}

class TenantRules {
  readonly #enabled: boolean;
  readonly #hasAgents: boolean;
  readonly #shared: Shared;
  readonly #total: number;
  readonly #byAgent = new PatternIndex<Indexed & { readonly group: RuleGroup }>();
  readonly #sets = new Recent<AgentRules>(readySets);
  readonly #ready = new Recent<AgentRules>(readyAgents);

  constructor(section: PolicySection) {
    this.#enabled = section.mcpEnabled;
    this.#hasAgents = section.a2aEnabled === true;
    this.#shared = { hide: section.hideDenied, names: new Recent(readyNames) };
    this.#total = section.accessRules.length;
    const groups = new Map<string, RuleGroup>();
    for (const compiled of compileAll(section.accessRules)) {
      const { agentPattern } = compiled.rule;
      let group = groups.get(agentPattern);
      if (group === undefined) {
        groups.set(agentPattern, (group = new RuleGroup(groups.size)));
        this.#byAgent.add({ ...indexed(agentPattern, group.number), group });
      }
      group.rules.push(compiled);
    }
  }

  decide(operation: Operation): PolicyVerdict {
    const settled = this.#settingOf(operation);
    if (settled !== undefined) return settled;
    const kind = kindOf(operation);
    if (kind === undefined) return mcpEnabled;
    const inquiry = new Inquiry(asKnown(operation, kind));
    const verdict = this.#rulesOf(operation.agent.id).decide(kind, operation.target, inquiry);
    const isListed = operation.asListed === true || operation.method === completion;
    return verdict.needsArguments === true && isListed ? asListed(verdict) : verdict;
  }

  rulesFor(operation: Operation): Consulted | undefined {
    const kind = this.#settingOf(operation) === undefined ? kindOf(operation) : undefined;
    if (kind === undefined) return undefined;
    const rules = this.#rulesOf(operation.agent.id);
    return { kind, rules, inquiry: new Inquiry(asKnown(operation, kind)), total: this.#total };
  }

  /** What the tenant's settings decide, whatever the rules say. */
  #settingOf({ protocol }: Operation): PolicyVerdict | undefined {
    if (protocol !== "mcp") return this.#hasAgents ? undefined : a2aDisabled;
    return this.#enabled ? undefined : mcpDisabled;
  }

  #rulesOf(agent: string): AgentRules {
    const ready = this.#ready.get(agent);
    if (ready !== undefined) return ready;
    const rules = this.#setOf(this.#byAgent.all(agent).map(({ group }) => group));
    this.#ready.set(agent, rules);
    return rules;
  }

  #setOf(groups: readonly RuleGroup[]): AgentRules {
    const name = groups.map(({ number }) => number).join();
    const known = this.#sets.get(name);
    if (known !== undefined) return known;
    const set = new AgentRules(name, groups, this.#shared);
    this.#sets.set(name, set);
    return set;
  }
}

function asListed(verdict: PolicyVerdict): PolicyVerdict {
  const { needsArguments: _, isOpenInShadowOnly: __, ...settled } = verdict;
  return settled;
}

/** What rules speak about in a call; undefined for what they do not restrict. */
function kindOf({ protocol, method, target, targetKind = "prompts" }: Operation): TargetKind | undefined {
  if (protocol !== "mcp") return targetKind === "skills" ? "skills" : "agents";
  const kind = method === completion ? targetKind : restricted.get(method);
  // What subscribes to nothing is a method that the modern era does not have: the server says so.
  return kind === "resources" && target === undefined ? undefined : kind;
}

/** What is used without arguments is known from the start. */
function asKnown(operation: Operation, kind: TargetKind): Operation {
  return kinds[kind].takesArguments || operation.args !== undefined ? operation : { ...operation, args: noArguments };
}
