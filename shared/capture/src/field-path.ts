import { JSONPathEnvironment, JSONPathError, jsonpath, type JSONPathQuery, type JSONValue } from "json-p3";

const { FilterSelector } = jsonpath.selectors;
const { FunctionExtension, InfixExpression, LogicalExpression, PrefixExpression, RelativeQuery, RootQuery } =
  jsonpath.expressions;

/** What a document may hold for a path that looks at more than one place of it. */
const mostValues = 2_000;
/** How deep documents may be, as those are that ingress takes. */
const mostDepth = 130;
/** Places that a path may go on from at once for each that it came to: `['a','b']` is two. */
const mostBranches = 4;
const mostFilters = 2;
/** How much longer a filter takes with a value than a path without. */
const filterWeight = 3;

/** Pattern matching is left out: what an agent sends could make a pattern take for ever. */
class BoundedEnvironment extends JSONPathEnvironment {
  protected override setupFilterFunctions(): void {
    super.setupFilterFunctions();
    this.functionRegister.delete("match");
    this.functionRegister.delete("search");
  }
}

const environment = new BoundedEnvironment({ maxRecursionDepth: mostDepth });

/** Why a text is no path, and after how many of its characters that shows. */
export class FieldPathProblem extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** A path through JSON (RFC 9535) whose work is bounded by the size of what it is asked of. */
export class FieldPath {
  readonly #query: JSONPathQuery;
  readonly #isSingular: boolean;
  /** What it costs to ask it of one value, where it looks at more than one place. */
  readonly #weight: number;

  /** @throws FieldPathProblem */
  constructor(text: string) {
    this.#query = compiled(text);
    this.#isSingular = this.#query.singularQuery();
    const effort = { branches: 1, descents: 0, filters: 0 };
    addEffort(this.#query, effort);
    this.#weight = 1 + effort.filters * filterWeight;
    const problem = tooMuch(effort);
    if (problem !== undefined) throw new FieldPathProblem(problem, 0);
  }

  /**
   * The value at the one place that the path can name, or a list of those at all places that it fits; undefined where there
   * is none. @throws RangeError where the document has too many values for a path of the second kind, or for what is left of the
   * effort that all paths together may take
   */
  in(document: unknown, left = { effort: Infinity }): unknown {
    if (!this.#isSingular) {
      const effort = countFew(document) * this.#weight;
      if (effort > left.effort) throw new RangeError("too many values");
      left.effort -= effort;
    }
    const values = this.#query.query(document as JSONValue).values();
    return this.#isSingular || values.length === 0 ? values[0] : values;
  }
}

function compiled(text: string): JSONPathQuery {
  try {
    return environment.compile(text);
  } catch (error) {
    if (!(error instanceof JSONPathError)) throw error;
    const { message, token } = error;
    const reason = message.replace(/ \(.*:\d+\)$/s, "");
    const pattern = /function '(?:match|search)'/.test(message) ? ": patterns are not available" : "";
    throw new FieldPathProblem(
      `${reason}${pattern}${meantBy(text)}`,
      Math.min(token.index, Math.max(0, text.length - 1)),
    );
  }
}

/** What may have been meant by what is no path: it has no `$`, or is in the expression language of seed 001. */
function meantBy(text: string): string {
  const inner = /^#\[\s*payload\.?(.*?)\s*\]$/.exec(text)?.[1] ?? text;
  const tried = [inner, `$.${inner}`, `$${inner}`].find((each) => {
    try {
      return each !== text && environment.compile(each) !== undefined;
    } catch {
      return false;
    }
  });
  return tried === undefined ? "; write it as RFC 9535 has it, such as $.params.name" : `; did you mean ${tried}?`;
}

interface Effort {
  branches: number;
  descents: number;
  filters: number;
}

function tooMuch({ branches, descents, filters }: Effort): string | undefined {
  if (descents > 1) return "has '..' more than once: it would take too long";
  if (filters > mostFilters) return `has more than ${mostFilters} filters: it would take too long`;
  return branches > mostBranches ? `names more than ${mostBranches} places at once: it would take too long` : undefined;
}

function addEffort({ segments }: JSONPathQuery, effort: Effort): void {
  for (const segment of segments) {
    effort.branches *= segment.selectors.length;
    if (segment.toString().startsWith("..")) effort.descents++;
    for (const selector of segment.selectors) {
      if (!(selector instanceof FilterSelector)) continue;
      effort.filters++;
      addExpression(selector.expression, effort);
    }
  }
}

function addExpression(expression: unknown, effort: Effort): void {
  if (expression instanceof LogicalExpression) addExpression(expression.expression, effort);
  else if (expression instanceof PrefixExpression) addExpression(expression.right, effort);
  else if (expression instanceof InfixExpression) {
    addExpression(expression.left, effort);
    addExpression(expression.right, effort);
  } else if (expression instanceof FunctionExtension) for (const arg of expression.args) addExpression(arg, effort);
  else if (expression instanceof RelativeQuery) addEffort(expression.path, effort);
  else if (expression instanceof RootQuery) {
    // For each element of the one list anew, another list: that takes the product of their lengths.
    if (!expression.path.singularQuery()) effort.descents = Infinity;
    addEffort(expression.path, effort);
  }
}

/** How many values it holds. @throws RangeError where they are too many */
function countFew(document: unknown): number {
  const open = [document];
  let count = 0;
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const parts = typeof value === "object" && value !== null ? Object.values(value) : [];
    count += parts.length;
    if (count > mostValues) throw new RangeError("too many values");
    for (const part of parts) if (typeof part === "object" && part !== null) open.push(part);
  }
  return count;
}
