import { RE2JS } from "re2js";
import { ConditionProblem } from "./condition-problem.ts";
import type { Effort } from "./effort.ts";

/** A regular expression that a condition holds, and where. */
export interface LinearPattern {
  readonly expression: string;
  /** Where the expression, and the word `matches` before it, stand in the condition. */
  readonly at: number;
  readonly nameAt: number;
}

/** Stands in for `matches`, whose own engine can be made to take exponential time; as long, so that places stay the same. */
export const linearMatches = "re2find";

/** Instructions of a compiled expression, and characters of a text: their product bounds the time of a match, and is what it is counted as. */
const largestProgram = 1_000;
const longestSubject = 16_384;

/** A search in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax), in time linear in the text. @throws ConditionProblem */
export function compileExpression({ expression, at }: LinearPattern): (subject: string, effort: Effort) => boolean {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(expression);
  } catch (error) {
    throw new ConditionProblem(`matches: ${(error as Error).message}`, at);
  }
  const programSize = compiled.programSize();
  if (programSize > largestProgram)
    throw new ConditionProblem("matches: the expression is too large: repeat less in it", at);
  return (subject, effort) => {
    if (subject.length > longestSubject) throw new Error(`matches reads at most ${longestSubject} characters`);
    effort.spend({ fixed: programSize * subject.length, perSize: 0 });
    return compiled.test(subject);
  };
}
