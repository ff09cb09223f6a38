import type { TargetKind, PolicyVerdict } from "@sluice/contracts";
import type { CompiledRule } from "./compiled-rule.ts";
import type { Inquiry } from "./inquiry.ts";
import { KindRules } from "./kind-rules.ts";
import { kinds } from "./kinds.ts";
import type { Recent } from "./recent.ts";
import { inOrder, type RuleGroup } from "./rule-group.ts";

/** What all agents of a tenant share. */
export interface Shared {
  readonly hide: boolean;
  /** What refusals name as allowed, for the sets of rules that refused last. */
  readonly names: Recent<readonly string[]>;
}

/** Every rule that applies to an agent, taken together, for each kind of thing; agents with the same rules share it. */
export class AgentRules {
  readonly #name: string;
  readonly #groups: readonly RuleGroup[];
  readonly #shared: Shared;
  readonly #kinds: { [Name in TargetKind]?: KindRules } = {};

  constructor(name: string, groups: readonly RuleGroup[], shared: Shared) {
    this.#name = name;
    this.#groups = groups;
    this.#shared = shared;
  }

  get rules(): readonly CompiledRule[] {
    return inOrder(this.#groups.flatMap(({ rules }) => rules));
  }

  decide(kind: TargetKind, target: string | undefined, inquiry: Inquiry): PolicyVerdict {
    return this.of(kind).decide(target, inquiry);
  }

  of(kind: TargetKind): KindRules {
    return (this.#kinds[kind] ??= new KindRules(kinds[kind], this.#groups, {
      ...this.#shared,
      name: `${kind} ${this.#name}`,
    }));
  }
}
