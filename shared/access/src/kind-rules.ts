import type { PolicyVerdict } from "@sluice/contracts";
import type { CompiledRule } from "./compiled-rule.ts";
import type { Said } from "./condition.ts";
import type { Shared } from "./agent-rules.ts";
import type { Entry } from "./entries.ts";
import type { Inquiry } from "./inquiry.ts";
import type { Kind } from "./kinds.ts";
import { nameable } from "./nameable.ts";
import { JoinedIndexes, type PatternIndex } from "./pattern-index.ts";
import { inOrder, type RuleGroup } from "./rule-group.ts";
import { spellingsOf } from "./uri-spellings.ts";

/** What some of the rules say of a call. */
interface Judgement {
  readonly ok: boolean;
  readonly rule: string;
  /** It may be otherwise, depending on the arguments. */
  readonly open?: boolean;
  /** The rule whose condition on arguments made it a refusal. */
  readonly argumentRule?: string;
}

/** A set of rules among those of a tenant. */
interface SetOfRules extends Shared {
  readonly name: string;
}

const denyByDefault = "default-deny";
const allowByDefault = "default-allow";
const allowedByDefault: PolicyVerdict = { ok: true, rule: allowByDefault };

/**
 * What the rules of an agent say about one kind of thing. A denial wins over a permission. Where nothing states what is
 * allowed, everything but tools is; who states it closes the kind, whatever the condition of the rule.
 */
export class KindRules {
  readonly #kind: Kind;
  readonly #set: SetOfRules;
  readonly #groups: readonly RuleGroup[];
  readonly #denied: JoinedIndexes<Entry>;
  readonly #allowed: JoinedIndexes<Entry>;
  readonly #isClosed: boolean;
  readonly #isClosedInShadow: boolean;
  readonly #isPlain: boolean;
  readonly #hasShadow: boolean;

  constructor(kind: Kind, groups: readonly RuleGroup[], set: SetOfRules) {
    this.#kind = kind;
    this.#set = set;
    this.#groups = groups;
    const entries = groups.map((group) => group.of(kind));
    this.#denied = joined(entries.map(({ denied }) => denied));
    this.#allowed = joined(entries.map(({ allowed }) => allowed));
    this.#isClosed = kind.alwaysClosed || entries.some(({ stating }) => stating.some(({ isShadow }) => !isShadow));
    this.#isClosedInShadow = kind.alwaysClosed || entries.some(({ stating }) => stating.length > 0);
    this.#hasShadow = entries.some(({ concerned }) => concerned.some(({ isShadow }) => isShadow));
    const isConditional = entries.some(({ concerned }) => concerned.some(({ condition }) => condition !== undefined));
    this.#isPlain = !this.#hasShadow && !isConditional;
  }

  decide(target: string | undefined, inquiry: Inquiry): PolicyVerdict {
    if (target === undefined || target === "")
      return this.#refusal(denyByDefault, this.#isPlain ? this.#names() : this.#nameable(inquiry));
    if (!this.#isPlain) return this.#decideCarefully(target, inquiry);
    if (this.#kind.uris) return this.#decideUri(target);
    const denied = this.#denied.first(target);
    if (denied !== undefined) return this.#refusal(denied.place, this.#names());
    return this.#allowed.first(target)?.permission ?? this.#default();
  }

  /** Every entry that names the target, denials first, in the order in which they are looked at. */
  entriesOf(target: string): readonly Entry[] {
    const spellings = this.#spellings(target);
    const find = (index: JoinedIndexes<Entry>) => spellings.flatMap((spelling) => index.all(spelling));
    const found = [...find(this.#denied), ...find(this.#allowed)];
    return [...new Map(found.map((entry) => [entry.place, entry])).values()];
  }

  /** Servers take several spellings for one URI: any that is denied denies, and only where all are allowed it is. */
  #decideUri(uri: string): PolicyVerdict {
    const spellings = spellingsOf(uri);
    for (const spelling of spellings) {
      const denied = this.#denied.first(spelling);
      if (denied !== undefined) return this.#refusal(denied.place, this.#names());
    }
    const found = spellings.map((spelling) => this.#allowed.first(spelling)?.permission);
    return found.includes(undefined) ? this.#default() : (found[0] ?? this.#default());
  }

  #decideCarefully(target: string, inquiry: Inquiry): PolicyVerdict {
    const spellings = this.#spellings(target);
    const enforced = this.#judge(spellings, inquiry, false);
    const withShadow = this.#hasShadow ? this.#judge(spellings, inquiry, true) : enforced;
    // What is refused without them is refused with any arguments.
    const isOpen = enforced.ok && (enforced.open === true || withShadow.open === true);
    const differs = !isOpen && withShadow.open !== true && enforced.ok !== withShadow.ok;
    const also = {
      ...(isOpen && { needsArguments: true as const }),
      ...(isOpen && enforced.open !== true && { isOpenInShadowOnly: true as const }),
      ...(inquiry.isConditional && { isConditional: true as const }),
      ...(differs && { shadow: { decision: withShadow.ok ? "allow" : "deny", rule: withShadow.rule } as const }),
    };
    const { ok, rule, argumentRule } = enforced;
    if (ok) return { ok, rule, ...also };
    const refusal = this.#refusal(rule, this.#nameable(inquiry));
    return { ...refusal, ...also, ...(argumentRule !== undefined && { argumentRule }) };
  }

  #judge(spellings: readonly string[], inquiry: Inquiry, withShadow: boolean): Judgement {
    let mayBeDenied = false;
    for (const spelling of spellings) {
      for (const { by, place } of this.#denied.all(spelling)) {
        if (by.isShadow && !withShadow) continue;
        const said = inquiry.ask(by);
        if (said === "open") mayBeDenied = true;
        if (said === "met" || said === "failed")
          return { ok: false, rule: place, ...(inquiry.dependsOnArguments(by) && { argumentRule: place }) };
      }
    }
    const judgements = spellings.map((spelling) => this.#judgeAllowed(spelling, inquiry, withShadow));
    const worst = judgements.find(({ ok }) => !ok) ?? judgements.find(({ open }) => open) ?? judgements[0];
    if (worst === undefined) return { ok: false, rule: denyByDefault };
    return worst.ok && mayBeDenied ? { ...worst, open: true } : worst;
  }

  #judgeAllowed(spelling: string, inquiry: Inquiry, withShadow: boolean): Judgement {
    let open: Entry | undefined;
    let missed: Entry | undefined;
    for (const entry of this.#allowed.all(spelling)) {
      if (entry.by.isShadow && !withShadow) continue;
      const said: Said = inquiry.ask(entry.by);
      if (said === "met") return { ok: true, rule: entry.place };
      if (said === "open") open ??= entry;
      else if (missed === undefined && inquiry.dependsOnArguments(entry.by)) missed = entry;
    }
    if (open !== undefined) return { ok: true, rule: open.place, open: true };
    if (!(withShadow ? this.#isClosedInShadow : this.#isClosed)) return { ok: true, rule: allowByDefault };
    return { ok: false, rule: denyByDefault, ...(missed !== undefined && { argumentRule: missed.place }) };
  }

  #spellings(target: string): readonly string[] {
    return this.#kind.uris ? spellingsOf(target) : [target];
  }

  #refusal(rule: string, allowed: readonly string[]): Extract<PolicyVerdict, { ok: false }> {
    return { ok: false, rule, fault: this.#kind.fault, allowed, ...(this.#set.hide && { hide: true }) };
  }

  #default(): PolicyVerdict {
    return this.#isClosed ? this.#refusal(denyByDefault, this.#names()) : allowedByDefault;
  }

  /** What a refusal says is allowed, where no condition counts. */
  #names(): readonly string[] {
    const { names, name } = this.#set;
    let known = names.get(name);
    if (known === undefined) names.set(name, (known = this.#nameable(undefined)));
    return known;
  }

  /** What a refusal says is allowed: what a list would show. */
  #nameable(inquiry: Inquiry | undefined): readonly string[] {
    if (!this.#isClosed) return ["*"];
    const listing = this.#kind.takesArguments ? inquiry?.withoutArguments() : inquiry;
    const counts = (by: CompiledRule) => {
      if (by.isShadow) return false;
      const said = listing?.ask(by) ?? "met";
      return said === "met" || said === "open";
    };
    const stating = inOrder(this.#groups.flatMap((group) => group.of(this.#kind).stating));
    return nameable(stating.flatMap((by) => (counts(by) ? (by.rule[this.#kind.allowed] ?? []) : [])));
  }
}

function joined(indexes: readonly PatternIndex<Entry>[]): JoinedIndexes<Entry> {
  return new JoinedIndexes(indexes.filter(({ isEmpty }) => !isEmpty));
}
