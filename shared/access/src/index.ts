export { Condition } from "./condition.ts";
export { ConditionProblem } from "./condition-problem.ts";
export { explain, type Explanation } from "./explain.ts";
export { operationOf } from "./operation-of.ts";
export { compileRules, type Operation, type Rulebook } from "./rulebook.ts";
