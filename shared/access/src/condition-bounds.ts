import type { ASTNode } from "@marcbachmann/cel-js";
import { maxScopes } from "@sluice/contracts";
import { ConditionProblem } from "./condition-problem.ts";
import { charactersPerStep, ofText, plus, times, type Amount } from "./effort.ts";
import type { LinearPattern } from "./linear-matches.ts";

/**
 * Functions whose result is no larger than what they are given, and whose time is linear in it. What can make values grow
 * (map, join, base64 and the like, cel.bind) is left out, and so is what makes many of few (split).
 */
const functions = new Set(["size", "has", "int", "uint", "double", "string", "bool", "dyn", "type"]);
const methods = new Set([
  ...["size", "startsWith", "endsWith", "contains", "matches", "indexOf", "lastIndexOf", "substring", "trim"],
  ...["all", "exists", "exists_one", "filter"],
]);
const loops = new Set(["all", "exists", "exists_one", "filter"]);
/** What looks for a text at every place of another takes the product of their lengths at worst. */
const searches = new Set(["contains", "indexOf", "lastIndexOf"]);
const free = new Set(["has", "dyn", "type", "matches"]);
const branching = new Set(["&&", "||", "!_", "?:"]);
const giveBool = new Set(["&&", "||", "!_", "==", "!=", "<", "<=", ">", ">=", "in"]);

/** A condition may take so much by itself, whatever the arguments are. */
const mostFixedSteps = 20_000;
/** Of what a call says besides its arguments: a scope, an owner, a target. */
const shortText = 512;
const longestScope = 256;
/** `size` counts the characters of a text one by one; other functions go over many at once. */
const sizeFactor = 4;
/** Characters of a text are compared about as fast as four of them are counted as one step. */
const comparedPerStep = 4;

interface Inspected {
  readonly readsArguments: boolean;
  /** Whether it goes through them value by value. */
  readonly loopsOverArguments: boolean;
  readonly patterns: readonly LinearPattern[];
  /** Steps that evaluating it takes at most, `matches` apart. */
  readonly cost: Amount;
}

/** What is known of a value before there is one. */
interface Seen {
  /** Whether it may hold a part of the arguments. */
  readonly isPart: boolean;
  readonly size: Amount;
  /** Of one of its elements, where that is known to be smaller. */
  readonly element?: Amount;
}

/** What stands around a part of an expression. */
interface Scope {
  /** Variables of loops around. */
  readonly own: ReadonlyMap<string, Seen>;
  /** Within a loop over arguments: what of them may be read there. */
  readonly only?: string;
}

type Call = Extract<ASTNode, { op: "rcall" }>;
const one: Amount = { fixed: 1, perSize: 0 };
const none: Amount = { fixed: 0, perSize: 0 };
const allOfArguments: Seen = { isPart: true, size: { fixed: 0, perSize: 1 } };
const scopes: Seen = { isPart: false, size: { fixed: maxScopes, perSize: 0 }, element: ofText(longestScope) };

/** Bounds what evaluating a condition takes by the size of the arguments. @throws ConditionProblem for what has no such bound */
export function inspect(ast: ASTNode): Inspected {
  const inspector = new Inspector();
  inspector.walk(ast, { own: new Map() });
  if (inspector.cost.fixed > mostFixedSteps)
    throw new ConditionProblem(
      "it could take long: let fewer or shorter loops stand within each other",
      ast.range.start,
    );
  return inspector;
}

class Inspector implements Inspected {
  readsArguments = false;
  loopsOverArguments = false;
  cost = none;
  readonly patterns: LinearPattern[] = [];

  walk(node: ASTNode, scope: Scope): Seen {
    this.#spend(one);
    switch (node.op) {
      case "id":
        return this.#variable(node.args, node, scope);
      case "value":
        return { isPart: false, size: typeof node.args === "string" ? ofText(node.args.length) : one };
      case ".":
      case ".?":
        return isScopes(node, scope) ? scopes : this.walk(node.args[0], scope);
      case "call": {
        require(functions, node.args[0], node);
        return this.#apply(node.args[0], this.#all(node.args[1], scope));
      }
      case "rcall":
        return this.#method(node, scope);
      default:
        return this.#operator(node, scope);
    }
  }

  #variable(name: string, node: ASTNode, { own, only }: Scope): Seen {
    const seen = own.get(name) ?? (name === "args" ? allOfArguments : undefined);
    if (seen?.isPart !== true) return seen ?? { isPart: false, size: ofText(shortText) };
    if (only !== undefined && name !== only)
      throw new ConditionProblem(
        `within a loop over arguments only its own variable "${only}" may be read of them, not "${name}": that could take long`,
        node.range.start,
      );
    this.readsArguments = true;
    return seen;
  }

  #operator(node: ASTNode, scope: Scope): Seen {
    const { op } = node;
    const seen = this.#all(nodesIn(node.args), scope);
    const sizes = seen.map(({ size }) => size);
    const [left = none, right = none] = sizes;
    if (op === "in") this.#spend(right);
    else if (op === "==" || op === "!=") this.#spend(smaller(left, right));
    else if (!branching.has(op) && !joinsText(node)) this.#spend(sum(sizes));
    const isPart = seen.some((value) => value.isPart);
    if (op === "list" && !isPart) return { isPart, size: plus(one, sum(sizes)), element: largest(sizes) };
    return { isPart, size: giveBool.has(op) ? one : plus(one, sum(sizes)) };
  }

  #method(node: Call, scope: Scope): Seen {
    const [name, receiver, args] = node.args;
    require(methods, name, node);
    const [first, body] = args;
    if (loops.has(name) && first?.op === "id" && body !== undefined && args.length === 2)
      return this.#loop({ receiver, variable: first.args, body }, scope);
    if (name === "matches") this.patterns.push(patternOf(node));
    const seen = this.#all([receiver, ...args], scope);
    if (searches.has(name)) this.#search(node, seen);
    return this.#apply(name, seen);
  }

  #apply(name: string, seen: readonly Seen[]): Seen {
    const size = sum(seen.map((value) => value.size));
    if (!free.has(name)) this.#spend(name === "size" ? times(size, sizeFactor) : size);
    return { isPart: seen.some(({ isPart }) => isPart), size };
  }

  #search(node: Call, [text, sought]: readonly Seen[]): void {
    if (text === undefined || sought === undefined) return;
    if (sought.isPart || node.args[2].some(readsTarget))
      throw new ConditionProblem(
        `${node.args[0]}() does not look for a part of the arguments or the target: that could take long`,
        node.args[2][0]?.range.start ?? node.range.start,
      );
    this.#spend(times(text.size, Math.ceil(((sought.size.fixed - 1) * charactersPerStep) / comparedPerStep)));
  }

  #loop({ receiver, variable, body }: { receiver: ASTNode; variable: string; body: ASTNode }, scope: Scope): Seen {
    const over = this.walk(receiver, scope);
    if (over.isPart) this.loopsOverArguments = true;
    else if (scope.only !== undefined)
      throw new ConditionProblem(
        `within a loop over arguments a loop may only go over its own variable "${scope.only}": anything else could take long`,
        receiver.range.start,
      );
    const seen = over.isPart ? allOfArguments : { isPart: false, size: over.element ?? over.size };
    const own = new Map([...scope.own, [variable, seen]]);
    const before = this.cost;
    this.cost = one;
    this.walk(body, { own, ...(over.isPart && { only: variable }) });
    const { fixed, perSize } = this.cost;
    // The elements of a part of the arguments are no larger together than that part.
    const all = over.isPart ? times(over.size, fixed + perSize) : times(this.cost, over.size.fixed);
    this.cost = plus(before, all);
    return over;
  }

  #all(nodes: readonly ASTNode[], scope: Scope): Seen[] {
    return nodes.map((node) => this.walk(node, scope));
  }

  #spend(amount: Amount): void {
    this.cost = plus(this.cost, amount);
  }
}

function sum(amounts: readonly Amount[]): Amount {
  let total = none;
  for (const amount of amounts) total = plus(total, amount);
  return total;
}

function largest(amounts: readonly Amount[]): Amount {
  return { fixed: Math.max(0, ...amounts.map(({ fixed }) => fixed)), perSize: 0 };
}

/** What comparing two values takes: no more than there is of either. */
function smaller(left: Amount, right: Amount): Amount {
  return left.perSize < right.perSize || (left.perSize === right.perSize && left.fixed < right.fixed) ? left : right;
}

/** Texts are joined without being copied. */
function joinsText(node: ASTNode): boolean {
  return node.op === "+" && node.args.some(({ op, args }) => op === "value" && typeof args === "string");
}

function isScopes(node: ASTNode, { own }: Scope): boolean {
  if (node.op !== "." || node.args[1] !== "scopes") return false;
  const [of] = node.args;
  return of.op === "id" && of.args === "token" && !own.has("token");
}

function require(known: ReadonlySet<string>, name: string, node: ASTNode): void {
  if (known.has(name)) return;
  throw new ConditionProblem(
    `${name}() is not available in conditions; there are ${[...known].join(", ")}`,
    node.range.start,
  );
}

function patternOf(node: Call): LinearPattern {
  const [, receiver, [pattern]] = node.args;
  if (pattern?.op !== "value" || typeof pattern.args !== "string")
    throw new ConditionProblem("matches() takes an expression that is written out", node.range.start);
  const from = receiver.range.end;
  const between = node.input
    .slice(from, pattern.range.start)
    .replaceAll(/\/\/[^\n]*/g, (comment) => " ".repeat(comment.length));
  return { expression: pattern.args, at: pattern.range.start, nameAt: from + between.lastIndexOf("matches") };
}

/** The target may be as long as arguments are. */
function readsTarget(node: ASTNode): boolean {
  return node.op === "id" ? node.args === "target" : nodesIn(node.args).some(readsTarget);
}

function nodesIn(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(nodesIn);
  return isNode(args) ? [args] : [];
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === "object" && value !== null && "op" in value && "args" in value;
}
