import { Environment, EvaluationError, ParseError, TypeError as CelTypeError } from "@marcbachmann/cel-js";
import { maxScopes } from "@sluice/contracts";
import { variables, type Facts } from "./facts.ts";
import { inspect } from "./condition-bounds.ts";
import { ConditionProblem } from "./condition-problem.ts";
import { Effort, type Amount } from "./effort.ts";
import { compileExpression, linearMatches, type LinearPattern } from "./linear-matches.ts";

/**
 * What a condition says of a call. `failed`: it could not be evaluated. `open`: that depends on arguments that are not known.
 */
export type Said = "met" | "unmet" | "failed" | "open";

/** That of the evaluation that runs: none is interrupted by another. */
let running = new Effort();

/** Small enough that no condition takes long to read, and large enough for a list of names. */
const limits = { maxAstNodes: 256, maxDepth: 32, maxListElements: 128, maxMapEntries: 32, maxCallArguments: 4 };

/** Of arguments that a condition goes through one by one. */
const mostValues = 10_000;

const environment = new Environment({ unlistedVariablesAreDyn: false, limits });
for (const [name, type] of Object.entries(variables)) {
  if (typeof type === "string") environment.registerVariable(name, type);
  else environment.registerVariable({ name, schema: type });
}

const members = Object.entries(variables).flatMap(([name, type]) =>
  typeof type === "string" ? [] : Object.keys(type).map((member) => `${name}.${member}`),
);

/** A condition of an access rule in CEL (https://cel.dev), ready to be evaluated. */
export class Condition {
  readonly text: string;
  /** Whether it reads the arguments of the call. */
  readonly readsArguments: boolean;
  readonly #loopsOverArguments: boolean;
  readonly #cost: Amount;
  readonly #expression: (facts: Facts) => unknown;

  /** @throws ConditionProblem for what is no CEL, of the wrong type, or not allowed here. */
  constructor(text: string) {
    this.text = text;
    const checked = check(text);
    const { readsArguments, loopsOverArguments, patterns, cost } = inspect(checked.ast);
    this.#cost = cost;
    this.readsArguments = readsArguments;
    this.#loopsOverArguments = loopsOverArguments;
    this.#expression = patterns.length === 0 ? checked.evaluate : check(...withLinearMatches(text, patterns)).evaluate;
  }

  evaluate(facts: Facts): Said {
    try {
      const said = this.#evaluate(facts);
      return said === true ? "met" : said === false ? "unmet" : "failed";
    } catch {
      return this.#isOpen(facts) ? "open" : "failed";
    }
  }

  /** Why it could not be evaluated; may quote arguments. */
  reason(facts: Facts): string | undefined {
    facts.effort.restart();
    try {
      return typeof this.#evaluate(facts) === "boolean" ? undefined : "it gives neither true nor false";
    } catch (error) {
      if (this.#isOpen(facts)) return "it depends on arguments that are not given";
      if (facts.effort.isSpent) return "it takes too long on these arguments";
      return error instanceof EvaluationError ? error.summary : "it cannot be evaluated";
    }
  }

  #evaluate(facts: Facts): unknown {
    const { effort, token } = facts;
    if (this.#loopsOverArguments && effort.values > mostValues)
      throw new EvaluationError(`a loop over arguments reads at most ${mostValues} values`);
    if (token.scopes.length > maxScopes) throw new EvaluationError(`a token has at most ${maxScopes} scopes`);
    effort.spend(this.#cost);
    running = effort;
    return this.#expression(facts);
  }

  #isOpen(facts: Facts): boolean {
    return this.readsArguments && facts.args === undefined && !facts.effort.isSpent;
  }
}

function check(
  text: string,
  within = environment,
): { ast: ReturnType<Environment["parse"]>["ast"]; evaluate: (facts: Facts) => unknown } {
  try {
    const parsed = within.parse(text);
    const { valid, type, error } = parsed.check();
    if (!valid) throw error ?? new ConditionProblem("it is not valid", 0);
    if (type !== "bool" && type !== "dyn")
      throw new ConditionProblem(`it gives a value of type ${type}, and must give true or false`, 0);
    return { ast: parsed.ast, evaluate: parsed };
  } catch (error) {
    if (error instanceof ParseError || error instanceof CelTypeError)
      throw new ConditionProblem(reasonOf(error), error.range?.start ?? 0);
    throw error;
  }
}

function reasonOf({ summary, code }: ParseError | CelTypeError): string {
  if (code === "unknown_variable") return `${summary}; there are ${Object.keys(variables).join(", ")}`;
  return code === "no_such_key" ? `${summary}; there are ${members.join(", ")}` : summary;
}

/** The expression, and the environment that it means something in: `matches` takes time linear in the text. */
function withLinearMatches(text: string, patterns: readonly LinearPattern[]): [string, Environment] {
  const compiled = new Map(patterns.map((pattern) => [pattern.expression, compileExpression(pattern)]));
  const own = environment
    .clone()
    .registerFunction(`string.${linearMatches}(string): bool`, (subject: string, expression: string) => {
      const expressionFound = compiled.get(expression);
      if (expressionFound === undefined) throw new Error("no such expression");
      return expressionFound(subject, running);
    });
  let renamed = text;
  for (const { nameAt } of patterns)
    renamed = renamed.slice(0, nameAt) + linearMatches + renamed.slice(nameAt + linearMatches.length);
  return [renamed, own];
}
