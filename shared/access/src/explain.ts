import type { PolicyVerdict } from "@sluice/contracts";
import type { Said } from "./condition.ts";
import type { Inquiry } from "./inquiry.ts";
import type { Entry } from "./entries.ts";
import type { Operation, Rulebook } from "./rulebook.ts";

/** What one pattern of a rule says of a call. */
interface Statement {
  /** `accessRules[2].deniedTools[0]` */
  readonly rule: string;
  readonly effect: "allow" | "deny";
  readonly pattern: string;
  readonly mode: "enforce" | "shadow";
  /** Its condition, and what that says. */
  readonly when?: string;
  readonly condition?: Said;
  readonly says: string;
  /** It is what the decision rests on. */
  readonly decides: boolean;
}

export interface Explanation {
  readonly verdict: PolicyVerdict;
  /** Of the rules of this agent, those with a pattern that fits: denials first, in the order in which they are looked at. */
  readonly statements: readonly Statement[];
  /** Rules of this agent that have no such pattern. */
  readonly silent: readonly string[];
  /** Rules of the tenant that are about other agents. */
  readonly others: number;
}

/** Says how a call is decided, and what every rule had to say, by the evaluator that decides. */
export function explain(rulebook: Rulebook, operation: Operation): Explanation {
  const verdict = rulebook.decide(operation);
  const consulted = rulebook.rulesFor(operation);
  const { target } = operation;
  if (consulted === undefined || target === undefined || target === "")
    return { verdict, statements: [], silent: [], others: 0 };
  const { rules, kind, inquiry, total } = consulted;
  const entries = rules.of(kind).entriesOf(target);
  const speaking = new Set(entries.map(({ by }) => by));
  return {
    verdict,
    statements: entries.map((entry) => statementOf(entry, inquiry, verdict)),
    silent: rules.rules.filter((rule) => !speaking.has(rule)).map(({ index }) => `accessRules[${index}]`),
    others: total - rules.rules.length,
  };
}

function statementOf(entry: Entry, inquiry: Inquiry, verdict: PolicyVerdict): Statement {
  const { by, effect, written, place } = entry;
  const { condition } = by;
  const said = inquiry.ask(by);
  const reason =
    condition === undefined || said === "met" || said === "unmet" ? undefined : condition.reason(inquiry.facts);
  const words = wordsFor[effect][said](reason ?? "");
  return {
    rule: place,
    effect,
    pattern: written,
    mode: by.isShadow ? "shadow" : "enforce",
    ...(condition !== undefined && { when: condition.text, condition: said }),
    says: by.isShadow ? `only recorded: ${words}` : words,
    decides: place === verdict.rule,
  };
}

type Words = Readonly<Record<Said, (reason: string) => string>>;

const wordsFor: Readonly<Record<"allow" | "deny", Words>> = {
  allow: {
    met: () => "allows it",
    unmet: () => "does not apply: its condition is not met",
    failed: (reason) => `does not apply: its condition cannot be evaluated (${reason}), and then nothing is allowed`,
    open: (reason) => `allows it where its condition is met: ${reason}`,
  },
  deny: {
    met: () => "denies it",
    unmet: () => "does not apply: its condition is not met",
    failed: (reason) => `denies it: its condition cannot be evaluated (${reason}), and then a denial applies`,
    open: (reason) => `denies it where its condition is met: ${reason}`,
  },
};
