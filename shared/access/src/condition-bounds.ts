import type { ASTNode } from "@marcbachmann/cel-js";
import { ConditionProblem } from "./condition-problem.ts";
import type { LinearPattern } from "./linear-matches.ts";

/**
 * Functions whose result is no larger than what they are given, and whose time is linear in it. What can make values grow
 * (map, join, base64 and the like, cel.bind) is left out, and so is what makes many of few (split): so no arguments make a
 * condition take long.
 */
const functions = new Set(["size", "has", "int", "uint", "double", "string", "bool", "dyn", "type"]);
const methods = new Set([
  ...["size", "startsWith", "endsWith", "contains", "matches", "indexOf", "lastIndexOf", "substring", "trim"],
  ...["all", "exists", "exists_one", "filter"],
]);
const loops = new Set(["all", "exists", "exists_one", "filter"]);

interface Inspected {
  readonly readsArguments: boolean;
  /** Whether it goes through them value by value. */
  readonly loopsOverArguments: boolean;
  readonly patterns: readonly LinearPattern[];
}

/** What stands around a part of an expression. */
interface Scope {
  /** Variables that hold a part of the arguments. */
  readonly parts: ReadonlySet<string>;
  /** Variables of loops around, whatever they hold. */
  readonly own: ReadonlySet<string>;
  /** Within a loop over arguments: what of them may be read there. */
  readonly only?: string;
}

/** Checks that evaluating a condition takes time linear in the arguments, whatever they are. @throws ConditionProblem */
export function inspect(ast: ASTNode): Inspected {
  const inspector = new Inspector();
  inspector.walk(ast, { parts: new Set(), own: new Set() });
  return inspector;
}

class Inspector implements Inspected {
  readsArguments = false;
  loopsOverArguments = false;
  readonly patterns: LinearPattern[] = [];

  /** Gives back whether the value may hold a part of the arguments. */
  walk(node: ASTNode, scope: Scope): boolean {
    switch (node.op) {
      case "id":
        return this.#variable(node.args, node, scope);
      case "call":
        require(functions, node.args[0], node);
        return this.#any(node.args[1], scope);
      case "rcall":
        return this.#method(node, scope);
      default:
        return this.#any(nodesIn(node.args), scope);
    }
  }

  #variable(name: string, node: ASTNode, { parts, own, only }: Scope): boolean {
    const isPart = own.has(name) ? parts.has(name) : name === "args";
    if (!isPart) return false;
    if (only !== undefined && name !== only)
      throw new ConditionProblem(
        `within a loop over arguments only its own variable "${only}" may be read of them, not "${name}": that could take long`,
        node.range.start,
      );
    this.readsArguments = true;
    return true;
  }

  #method(node: Extract<ASTNode, { op: "rcall" }>, scope: Scope): boolean {
    const [name, receiver, args] = node.args;
    require(methods, name, node);
    const [first, body] = args;
    if (loops.has(name) && first?.op === "id" && body !== undefined)
      return this.#loop({ receiver, variable: first.args, body }, scope);
    if (name === "matches") this.patterns.push(patternOf(node));
    return this.#any([receiver, ...args], scope);
  }

  #loop({ receiver, variable, body }: { receiver: ASTNode; variable: string; body: ASTNode }, scope: Scope): boolean {
    const overParts = this.walk(receiver, scope);
    if (overParts) this.loopsOverArguments = true;
    else if (scope.only !== undefined)
      throw new ConditionProblem(
        `within a loop over arguments a loop may only go over its own variable "${scope.only}": anything else could take long`,
        receiver.range.start,
      );
    const own = new Set([...scope.own, variable]);
    const parts = new Set([...scope.parts].filter((name) => name !== variable));
    if (overParts) parts.add(variable);
    this.walk(body, { own, parts, ...(overParts && { only: variable }) });
    return overParts;
  }

  #any(nodes: readonly ASTNode[], scope: Scope): boolean {
    let any = false;
    for (const node of nodes) any = this.walk(node, scope) || any;
    return any;
  }
}

function require(known: ReadonlySet<string>, name: string, node: ASTNode): void {
  if (known.has(name)) return;
  throw new ConditionProblem(
    `${name}() is not available in conditions; there are ${[...known].join(", ")}`,
    node.range.start,
  );
}

function patternOf(node: Extract<ASTNode, { op: "rcall" }>): LinearPattern {
  const [, receiver, [pattern]] = node.args;
  if (pattern?.op !== "value" || typeof pattern.args !== "string")
    throw new ConditionProblem("matches() takes an expression that is written out", node.range.start);
  const from = receiver.range.end;
  const nameAt = from + node.input.slice(from, pattern.range.start).lastIndexOf("matches");
  return { expression: pattern.args, at: pattern.range.start, nameAt };
}

function nodesIn(args: unknown): ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(nodesIn);
  return isNode(args) ? [args] : [];
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === "object" && value !== null && "op" in value && "args" in value;
}
