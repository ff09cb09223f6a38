import {
  compilePattern,
  isExact,
  listedKinds,
  type AccessRule,
  type ListedKind,
  type Pattern,
  type PolicyVerdict,
} from "@sluice/contracts";
import { canonicalUri, spellingsOf } from "./uri-spellings.ts";

export interface IndexedRule {
  readonly rule: AccessRule;
  /** The rule's place in the tenant's list. */
  readonly index: number;
}

type Denial = Extract<PolicyVerdict, { ok: false }>;

/** How one kind of thing is decided upon. */
interface Kind {
  readonly allowed: "allowedTools" | "allowedPrompts" | "allowedResources";
  readonly denied: "deniedTools" | "deniedPrompts" | "deniedResources";
  readonly fault: Denial["fault"];
  /** Whether nothing is allowed even where no rule states what is. */
  readonly alwaysClosed: boolean;
  /** Whether names are URIs, which can be spelt in several ways. */
  readonly uris: boolean;
}

const kinds: Readonly<Record<ListedKind, Kind>> = {
  tools: {
    allowed: "allowedTools",
    denied: "deniedTools",
    fault: "tool_access_denied",
    alwaysClosed: true,
    uris: false,
  },
  prompts: {
    allowed: "allowedPrompts",
    denied: "deniedPrompts",
    fault: "prompt_access_denied",
    alwaysClosed: false,
    uris: false,
  },
  resources: {
    allowed: "allowedResources",
    denied: "deniedResources",
    fault: "resource_access_denied",
    alwaysClosed: false,
    uris: true,
  },
};
/** A refusal names what is allowed up to this size, so that the refusals of a whole batch fit one message. */
const maxAllowedBytes = 8_192;
const allowedByDefault: PolicyVerdict = { ok: true, rule: "default-allow" };

/** Every rule that applies to one agent, taken together, for each kind of thing. */
export class AgentRules {
  readonly #kinds: ReadonlyMap<ListedKind, KindRules>;

  constructor(rules: readonly IndexedRule[], hide: boolean) {
    this.#kinds = new Map(listedKinds.map((kind) => [kind, new KindRules(kinds[kind], rules, hide)]));
  }

  decide(kind: ListedKind, target: string | undefined): PolicyVerdict {
    return (this.#kinds.get(kind) as KindRules).decide(target);
  }
}

/** A denial wins over a permission. Where nothing states what is allowed, prompts and resources are, and tools are not. */
class KindRules {
  readonly #denied = new VerdictTable();
  readonly #allowed = new VerdictTable();
  readonly #refused: PolicyVerdict;
  readonly #default: PolicyVerdict;
  readonly #uris: boolean;

  constructor(kind: Kind, rules: readonly IndexedRule[], hide: boolean) {
    this.#uris = kind.uris;
    const stated = rules.flatMap(({ rule }) => rule[kind.allowed] ?? []);
    const closed = kind.alwaysClosed || rules.some(({ rule }) => rule[kind.allowed] !== undefined);
    const allowed = closed ? nameable(stated) : ["*"];
    const refusal = (rule: string): PolicyVerdict => ({
      ok: false,
      rule,
      fault: kind.fault,
      allowed,
      ...(hide && { hide }),
    });
    for (const { rule, index } of rules) {
      const place = (member: string, at: number) => `accessRules[${index}].${member}[${at}]`;
      rule[kind.denied]?.forEach((pattern, at) => this.#add(this.#denied, pattern, refusal(place(kind.denied, at))));
      rule[kind.allowed]?.forEach((pattern, at) =>
        this.#add(this.#allowed, pattern, { ok: true, rule: place(kind.allowed, at) }),
      );
    }
    this.#refused = refusal("default-deny");
    this.#default = closed ? this.#refused : allowedByDefault;
  }

  decide(target: string | undefined): PolicyVerdict {
    if (target === undefined || target === "") return this.#refused;
    if (this.#uris) return this.#decideUri(target);
    return this.#denied.find(target) ?? this.#allowed.find(target) ?? this.#default;
  }

  /** Servers take several spellings for one URI: any that is denied denies, and only where all are allowed it is. */
  #decideUri(uri: string): PolicyVerdict {
    const spellings = spellingsOf(uri);
    for (const spelling of spellings) {
      const denied = this.#denied.find(spelling);
      if (denied !== undefined) return denied;
    }
    const verdicts = spellings.map((spelling) => this.#allowed.find(spelling) ?? this.#default);
    return verdicts.find(({ ok }) => !ok) ?? verdicts[0] ?? this.#refused;
  }

  #add(table: VerdictTable, pattern: string, verdict: PolicyVerdict): void {
    table.add(pattern, verdict);
    const canonical = this.#uris ? canonicalUri(pattern) : undefined;
    if (canonical !== undefined && canonical !== pattern) table.add(canonical, verdict);
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
    if (bytes > maxAllowedBytes) break;
    kept.push(pattern);
  }
  return kept;
}
