import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AccessRule, ListedKind, PolicySection } from "@sluice/contracts";
import { compileRules, type Operation } from "./rulebook.ts";

/** Conditions, and what each says of a call, read plainly: undefined where it cannot be evaluated. */
const conditions: Readonly<Record<string, (call: Operation) => boolean | undefined>> = {
  "agent.owner == 'o1'": ({ agent }) => (agent.owner === undefined ? undefined : agent.owner === "o1"),
  "'s1' in token.scopes": ({ scopes }) => scopes?.includes("s1") ?? false,
  "!('s1' in token.scopes)": ({ scopes }) => !(scopes?.includes("s1") ?? false),
  "has(user.id) && user.id == 'u1'": ({ user }) => user === "u1",
  "args.a == 'x'": ({ args }) => memberOf(args, "a", (a) => a === "x"),
  "has(args.a) && args.a.startsWith('x')": ({ args }) => {
    const a = (args as { a?: unknown }).a;
    return a === undefined ? false : typeof a === "string" ? a.startsWith("x") : undefined;
  },
  "args.n > 2.0": ({ args }) => memberOf(args, "n", (n) => (typeof n === "number" ? n > 2 : undefined)),
};

function memberOf<Said>(args: unknown, name: string, say: (value: unknown) => Said): Said | undefined {
  const members = args as Record<string, unknown>;
  return name in members ? say(members[name]) : undefined;
}

const pattern = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "b", "*"), minLength: 1, maxLength: 4 }),
  fc.constantFrom("ab", "a*", "*b", "ab*", "a*b", "*"),
);
const patterns = fc.array(pattern, { maxLength: 3 });
const rule: fc.Arbitrary<AccessRule> = fc
  .record({
    agentPattern: pattern,
    when: fc.option(fc.constantFrom(...Object.keys(conditions)), { nil: undefined }),
    mode: fc.option(fc.constantFrom("enforce" as const, "shadow" as const), { nil: undefined }),
    allowedTools: patterns,
    deniedTools: patterns,
    allowedPrompts: fc.option(patterns, { nil: undefined }),
    deniedPrompts: fc.option(patterns, { nil: undefined }),
  })
  .map((made) => Object.fromEntries(Object.entries(made).filter(([, value]) => value !== undefined)) as AccessRule);
const text = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 });
const args = fc.record(
  { a: fc.oneof(fc.constantFrom("x", "xy", "y"), fc.integer()), n: fc.oneof(fc.integer({ min: 0, max: 5 }), text) },
  { requiredKeys: [] },
);
const call = fc.record({
  id: text,
  owner: fc.option(fc.constantFrom("o1", "o2"), { nil: undefined }),
  scopes: fc.subarray(["s1", "s2"]),
  user: fc.option(fc.constantFrom("u1", "u2"), { nil: undefined }),
  target: text,
  kind: fc.constantFrom("tools" as const, "prompts" as const),
  args,
});
type Drawn = typeof call extends fc.Arbitrary<infer Value> ? Value : never;

const operationOf = ({ id, owner, scopes, user, target, kind, args: given }: Drawn): Operation => ({
  tenant: "acme",
  agent: { id, ...(owner !== undefined && { owner }) },
  scopes,
  ...(user !== undefined && { user }),
  protocol: "mcp",
  method: kind === "tools" ? "tools/call" : "prompts/get",
  target,
  args: given,
});
const rulebookOf = (accessRules: readonly AccessRule[]) => {
  const section: PolicySection = { version: 1, mcpEnabled: true, hideDenied: false, accessRules: [...accessRules] };
  return compileRules(new Map([["acme", section]]));
};

const fits = (one: string, whole: string) => new RegExp(`^${one.replaceAll(/\*+/g, ".*")}$`).test(whole);

/** The rules of docs/policy.md, read plainly and without any index. */
function plainly(rules: readonly AccessRule[], operation: Operation, kind: ListedKind): boolean {
  const [allowed, denied] =
    kind === "tools" ? (["allowedTools", "deniedTools"] as const) : (["allowedPrompts", "deniedPrompts"] as const);
  const mine = rules.filter(({ agentPattern }) => fits(agentPattern, operation.agent.id));
  const names = (list: readonly string[] | undefined) => (list ?? []).some((one) => fits(one, operation.target ?? ""));
  const said = ({ when }: AccessRule) => (when === undefined ? true : conditions[when]?.(operation));
  if (mine.some((one) => names(one[denied]) && said(one) !== false)) return false;
  if (mine.some((one) => names(one[allowed]) && said(one) === true)) return true;
  return kind === "prompts" && mine.every((one) => one[allowed] === undefined);
}

const rules = fc.array(rule, { maxLength: 6 });
const enforced = (all: readonly AccessRule[]) => all.filter(({ mode }) => mode !== "shadow");

describe("for any rules and calls (property)", () => {
  it("the evaluator decides as a plain reading of the rules does, and tells what those in shadow mode would change", () => {
    fc.assert(
      fc.property(rules, call, (all, drawn) => {
        const operation = operationOf(drawn);
        const { ok, shadow, needsArguments } = rulebookOf(all).decide(operation);
        const wanted = plainly(enforced(all), operation, drawn.kind);
        const withShadow = plainly(all, operation, drawn.kind);
        expect(ok).toBe(wanted);
        expect(needsArguments).toBeUndefined();
        expect(shadow?.decision).toBe(withShadow === wanted ? undefined : withShadow ? "allow" : "deny");
      }),
      { numRuns: 5_000 },
    );
  });

  it("one more rule that only denies never allows more", () => {
    const denial = fc.tuple(rule, patterns).map(([drawn, denied]) => {
      const { allowedPrompts: _, mode: __, ...rest } = drawn;
      return { ...rest, allowedTools: [], deniedTools: denied, deniedPrompts: denied };
    });
    fc.assert(
      fc.property(rules, denial, fc.nat(), call, (all, added, at, drawn) => {
        const operation = operationOf(drawn);
        const before = rulebookOf(all).decide(operation).ok;
        const after = rulebookOf(all.toSpliced(at % (all.length + 1), 0, added)).decide(operation).ok;
        expect(after && !before).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it("rules in shadow mode decide nothing", () => {
    fc.assert(
      fc.property(rules, call, (all, drawn) => {
        const operation = operationOf(drawn);
        const hidden = all.map((one) =>
          one.mode === "shadow" ? { agentPattern: "nobody", allowedTools: [], deniedTools: [] } : one,
        );
        const { shadow: _, isConditional: __, ...verdict } = rulebookOf(all).decide(operation);
        const { isConditional: ___, ...expected } = rulebookOf(hidden).decide(operation);
        expect(verdict).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it("what is decided without arguments stays so with any, and a list shows what some arguments allow", () => {
    fc.assert(
      fc.property(rules, call, (all, drawn) => {
        const operation = operationOf(drawn);
        const rulebook = rulebookOf(all);
        const { args: _, ...unknown } = operation;
        const before = rulebook.decide(unknown);
        const after = rulebook.decide(operation);
        if (before.needsArguments !== true) expect(after.ok).toBe(before.ok);
        const { method: __, ...listed } = unknown;
        if (after.ok) expect(rulebook.shows({ ...listed, kind: drawn.kind })).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});
