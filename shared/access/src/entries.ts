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

const mostPatterns = 1_000_000;

/** What a rule says about one kind of thing. */
export function entriesIn(by: CompiledRule, kind: Kind, effect: Entry["effect"]): Entry[] {
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
