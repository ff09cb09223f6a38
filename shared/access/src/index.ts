export { Condition } from "./condition.ts";
export { ConditionProblem } from "./condition-problem.ts";
export { compileRules, type Operation, type Rulebook } from "./rulebook.ts";
