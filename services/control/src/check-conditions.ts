import { Condition, ConditionProblem } from "@sluice/access";
import type { Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";

/** What is wrong with the conditions of a tenant's access rules, each with its place in the expression. */
export function checkConditions(path: readonly PropertyKey[], { accessRules }: Tenant): Finding[] {
  return accessRules.flatMap(({ when }, index) => {
    const problem = when === undefined ? undefined : problemOf(when);
    return problem === undefined
      ? []
      : [{ path: [...path, "accessRules", index, "when"], reason: problem.message, offset: problem.offset }];
  });
}

function problemOf(condition: string): ConditionProblem | undefined {
  try {
    return void new Condition(condition);
  } catch (error) {
    if (error instanceof ConditionProblem) return error;
    throw error;
  }
}
