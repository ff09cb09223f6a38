import type { AccessRule } from "@sluice/contracts";
import { Condition } from "./condition.ts";
import { ConditionProblem } from "./condition-problem.ts";
import type { Said } from "./condition.ts";
import type { Facts } from "./facts.ts";

/** What a rule asks of a call beside its patterns. */
type RuleCondition = Pick<Condition, "text" | "readsArguments" | "evaluate" | "reason">;

export interface CompiledRule {
  readonly rule: AccessRule;
  /** The rule's place in the tenant's list. */
  readonly index: number;
  readonly condition: RuleCondition | undefined;
  /** What it would change is only recorded. */
  readonly isShadow: boolean;
}

/** Prepares the rules of a tenant; conditions that are written alike are prepared once. */
export function compileAll(rules: readonly AccessRule[]): CompiledRule[] {
  const conditions = new Map<string, RuleCondition>();
  return rules.map((rule, index) => {
    const { when, mode } = rule;
    let condition = when === undefined ? undefined : conditions.get(when);
    if (when !== undefined && condition === undefined) conditions.set(when, (condition = compile(when)));
    return { rule, index, condition, isShadow: mode === "shadow" };
  });
}

/** control refuses what is no condition; where one gets here all the same, its rule allows nothing, and denies. */
function compile(text: string): RuleCondition {
  try {
    return new Condition(text);
  } catch (error) {
    if (!(error instanceof ConditionProblem)) throw error;
    return new Unusable(text, error.message);
  }
}

class Unusable implements RuleCondition {
  readonly text: string;
  readonly readsArguments = false;
  readonly #problem: string;

  constructor(text: string, problem: string) {
    this.text = text;
    this.#problem = problem;
  }

  evaluate(_facts: Facts): Said {
    return "failed";
  }

  reason(): string {
    return this.#problem;
  }
}
