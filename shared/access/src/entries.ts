import type { PolicyVerdict } from "@sluice/contracts";
import type { CompiledRule } from "./compiled-rule.ts";
import type { Kind } from "./kinds.ts";
import { indexed, type Indexed } from "./pattern-index.ts";
import { canonicalUri } from "./uri-spellings.ts";

/** One pattern of one rule. */
export interface Entry extends Indexed {
  readonly by: CompiledRule;
  readonly effect: "allow" | "deny";
  /** As it is written. */
  readonly written: string;
  /** `accessRules[2].deniedTools[0]` */
  readonly place: string;
  /** The verdict where it decides that the call may pass. */
  readonly permission: PolicyVerdict;
}

export interface RuleEntries {
  readonly denied: readonly Entry[];
  readonly allowed: readonly Entry[];
}

const mostPatterns = 1_000_000;
const made = new WeakMap<CompiledRule, Map<Kind, RuleEntries>>();

/** What a rule says about one kind of thing; made once, for all agents that the rule applies to. */
export function entriesOf(by: CompiledRule, kind: Kind): RuleEntries {
  let ofRule = made.get(by);
  if (ofRule === undefined) made.set(by, (ofRule = new Map<Kind, RuleEntries>()));
  let entries = ofRule.get(kind);
  if (entries === undefined) {
    entries = { denied: entriesIn(by, kind, "deny"), allowed: entriesIn(by, kind, "allow") };
    ofRule.set(kind, entries);
  }
  return entries;
}

function entriesIn(by: CompiledRule, kind: Kind, effect: Entry["effect"]): Entry[] {
  const member = effect === "deny" ? kind.denied : kind.allowed;
  return (by.rule[member] ?? []).flatMap((written, at) => {
    const place = `accessRules[${by.index}].${member}[${at}]`;
    const canonical = kind.uris ? canonicalUri(written) : undefined;
    const patterns = canonical === undefined || canonical === written ? [written] : [written, canonical];
    const permission: PolicyVerdict = { ok: true, rule: place };
    const order = by.index * mostPatterns + at;
    return patterns.map((pattern) => ({ ...indexed(pattern, order), by, effect, written, place, permission }));
  });
}
