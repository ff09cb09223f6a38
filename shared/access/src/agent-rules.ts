import type { ListedKind, PolicyVerdict } from "@sluice/contracts";
import type { CompiledRule } from "./compiled-rule.ts";
import type { Inquiry } from "./inquiry.ts";
import { KindRules } from "./kind-rules.ts";
import { kinds } from "./kinds.ts";

/** Every rule that applies to an agent, taken together, for each kind of thing; agents with the same rules share it. */
export class AgentRules {
  readonly rules: readonly CompiledRule[];
  readonly #hide: boolean;
  readonly #kinds: { [Name in ListedKind]?: KindRules } = {};

  constructor(rules: readonly CompiledRule[], hide: boolean) {
    this.rules = rules;
    this.#hide = hide;
  }

  decide(kind: ListedKind, target: string | undefined, inquiry: Inquiry): PolicyVerdict {
    return this.of(kind).decide(target, inquiry);
  }

  of(kind: ListedKind): KindRules {
    return (this.#kinds[kind] ??= new KindRules(kinds[kind], this.rules, this.#hide));
  }
}
