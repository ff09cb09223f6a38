import type { Said } from "./condition.ts";
import type { CompiledRule } from "./compiled-rule.ts";
import { factsOf, type Call, type Facts } from "./facts.ts";

/** What the conditions of rules say of one call, each evaluated once and only where it matters. */
export class Inquiry {
  readonly #call: Call;
  #facts: Facts | undefined;
  #before: Inquiry | undefined;
  #said: Map<CompiledRule, Said> | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  get facts(): Facts {
    return (this.#facts ??= factsOf(this.#call));
  }

  /** Whether any condition was evaluated. */
  get isConditional(): boolean {
    return this.#said !== undefined;
  }

  ask(rule: CompiledRule): Said {
    const { condition } = rule;
    if (condition === undefined) return "met";
    this.#said ??= new Map();
    const known = this.#said.get(rule);
    if (known !== undefined) return known;
    const said = condition.evaluate(this.facts);
    this.#said.set(rule, said);
    return said;
  }

  /** Whether what a rule says was not settled before the arguments were known. */
  dependsOnArguments(rule: CompiledRule): boolean {
    if (rule.condition?.readsArguments !== true) return false;
    this.#before ??= this.withoutArguments();
    return this.#before.ask(rule) === "open";
  }

  /** The same call as far as it is known before its arguments are. */
  withoutArguments(): Inquiry {
    const { args, ...rest } = this.#call;
    return args === undefined ? this : new Inquiry(rest);
  }
}
