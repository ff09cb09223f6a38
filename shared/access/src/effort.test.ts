import { describe, expect, it } from "vitest";
import { Condition } from "./condition.ts";
import { ConditionProblem } from "./condition-problem.ts";
import { factsOf } from "./facts.ts";

const factsWith = (args: unknown, scopes: string[] = []) =>
  factsOf({ tenant: "acme", agent: { id: "a" }, scopes, method: "tools/call", target: "read", args });
const say = (text: string, args: unknown, scopes?: string[]) => new Condition(text).evaluate(factsWith(args, scopes));
const large = 195_000;
const forty = `[${"1,".repeat(39)}1]`;

describe("no call makes its conditions take long", () => {
  it.each([
    "args.a.contains(args.b)",
    "args.a.indexOf(args.b) > 1",
    "args.a.lastIndexOf(args.b) > 1",
    "args.list.all(x, x.contains(x))",
    `args.a.contains(target)`,
    `${forty}.all(a, ${forty}.all(b, ${forty}.all(c, ${forty}.all(d, ${forty}.all(e, a == 1)))))`,
    `${forty}.all(a, ${forty}.all(b, ${forty}.all(c, a == 1)))`,
    "token.scopes.all(a, token.scopes.all(b, a != b))",
    "token.scopes.filter(a, a != '').all(b, token.scopes.exists(c, c == b))",
    "[token.scopes, token.scopes].all(x, x.all(a, token.scopes.all(b, a != b)))",
    "args.list.all(x, 1 in [1], 2)",
  ])("%s is refused when it is read", (text) => {
    expect(() => new Condition(text)).toThrow(ConditionProblem);
  });

  it.each([
    [`args.a.contains('b${"a".repeat(900)}')`, { a: "a".repeat(large) }],
    [`args.a.indexOf('b${"a".repeat(900)}') > 1`, { a: "a".repeat(large) }],
    [`args.a.lastIndexOf('${"a".repeat(900)}b') > 1`, { a: "a".repeat(large) }],
    ["args.l.all(s, !s.matches('a[ab]{300}[cd]'))", { l: Array.from({ length: 16 }, () => "ab".repeat(8_000)) }],
    [`${forty}.all(x, ${forty}.all(y, args.a == args.b))`, { a: ["a".repeat(large)], b: ["a".repeat(large)] }],
    [`${forty}.all(x, size(args.a) > 1)`, { a: "a".repeat(large) }],
    [`${forty}.all(x, ${forty}.all(y, args.a.trim() != ''))`, { a: " ".repeat(large) }],
    [`${forty}.all(x, ${forty}.all(y, args.a.substring(1) != ''))`, { a: " ".repeat(large) }],
    [`${forty}.all(x, args.a.startsWith(args.b) || args.a.endsWith(args.b))`, { a: "a".repeat(large), b: "b" }],
    [`${forty}.all(x, !(0 in args.l))`, { l: Array.from({ length: 100_000 }, () => 1) }],
    [
      "args.l.all(x, [x, x, x, x, x, x].all(y, [y, y, y, y].all(z, z == 1)))",
      { l: Array.from({ length: 9_000 }, () => 1) },
    ],
    ["args.l.all(x, x in token.scopes || true)", { l: Array.from({ length: 9_000 }, () => "x") }],
    ["args.l.filter(x, x == 1).filter(x, x == 1).size() > 1", { l: Array.from({ length: 10_001 }, () => 1) }],
  ])("%s fails on arguments that it would take long on, and not on small ones", (text, args) => {
    expect(say(text, args)).toBe("failed");
    const small = Object.entries(args).map(([name, value]) => [
      name,
      Array.isArray(value)
        ? value.slice(0, 1).map((one) => (typeof one === "string" ? one.slice(0, 9) : one))
        : value.slice(0, 9),
    ]);
    expect(say(text, Object.fromEntries(small))).not.toBe("failed");
  });

  it("the conditions of one decision share what they may take", () => {
    const facts = factsWith({ a: "ab".repeat(8_000) });
    const condition = new Condition("!args.a.matches('c[ab]{10}')");
    const said = Array.from({ length: 20 }, () => condition.evaluate(facts));
    expect(said[0]).toBe("met");
    expect(said.at(-1)).toBe("failed");
    expect(condition.reason(facts)).toBeUndefined();
  });

  it("what looks at one argument among large ones is evaluated", () => {
    const args = { path: "/tmp/x", content: "a".repeat(250_000) };
    for (const text of [
      "args.path.startsWith('/tmp/') && !args.path.contains('..')",
      "args.path.matches('^/tmp/[a-z]+$')",
      "!['..', '~'].exists(bad, args.path.contains(bad))",
      "args.content.size() > 1",
    ])
      expect(say(text, args), text).toBe("met");
  });

  it("a token with more scopes than a call may have fails a condition", () => {
    expect(
      say(
        "'a' in token.scopes",
        {},
        Array.from({ length: 129 }, () => "a"),
      ),
    ).toBe("failed");
    expect(
      say(
        "'a' in token.scopes",
        {},
        Array.from({ length: 128 }, () => "a"),
      ),
    ).toBe("met");
  });

  it("matches is ours wherever comments stand around the word", () => {
    const text = "args.a . // matches('x')\n matches ( // or matches(\n '(a+)+$')";
    expect(say(text, { a: "a".repeat(16_385) })).toBe("failed");
  });
});
