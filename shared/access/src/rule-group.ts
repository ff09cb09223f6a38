import type { CompiledRule } from "./compiled-rule.ts";
import { entriesIn, type Entry } from "./entries.ts";
import type { Kind } from "./kinds.ts";
import { PatternIndex } from "./pattern-index.ts";

/** What the rules of a group say about one kind of thing. */
interface GroupEntries {
  readonly denied: PatternIndex<Entry>;
  readonly allowed: PatternIndex<Entry>;
  /** The rules that say anything about it, and those of them that state what is allowed. */
  readonly concerned: readonly CompiledRule[];
  readonly stating: readonly CompiledRule[];
}

/** The rules of a tenant with one and the same pattern of agents: indexed once, however many agents that fits. */
export class RuleGroup {
  readonly number: number;
  readonly rules: CompiledRule[] = [];
  readonly #entries = new Map<Kind, GroupEntries>();

  constructor(number: number) {
    this.number = number;
  }

  of(kind: Kind): GroupEntries {
    let entries = this.#entries.get(kind);
    if (entries === undefined) this.#entries.set(kind, (entries = this.#index(kind)));
    return entries;
  }

  #index(kind: Kind): GroupEntries {
    const concerned = this.rules.filter(
      ({ rule }) => rule[kind.allowed] !== undefined || (rule[kind.denied]?.length ?? 0) > 0,
    );
    const denied = new PatternIndex<Entry>();
    const allowed = new PatternIndex<Entry>();
    for (const by of concerned) {
      for (const entry of entriesIn(by, kind, "deny")) denied.add(entry);
      for (const entry of entriesIn(by, kind, "allow")) allowed.add(entry);
    }
    const stating = concerned.filter(({ rule }) => rule[kind.allowed] !== undefined);
    return { denied, allowed, concerned, stating };
  }
}

/** In the order in which they are written. */
export function inOrder(rules: readonly CompiledRule[]): readonly CompiledRule[] {
  return rules.toSorted((a, b) => a.index - b.index);
}
