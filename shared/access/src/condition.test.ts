import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Condition } from "./condition.ts";
import { ConditionProblem } from "./condition-problem.ts";
import { factsOf, type Call } from "./facts.ts";

const call: Call = {
  tenant: "acme",
  agent: { id: "sentinel-1", owner: "search" },
  scopes: ["mcp:tools:invoke", "mcp:admin"],
  user: "alice",
  method: "tools/call",
  target: "read",
};
const say = (text: string, args?: unknown, changed: Partial<Call> = {}) =>
  new Condition(text).evaluate(factsOf({ ...call, ...changed, ...(args !== undefined && { args }) }));

function problem(text: string): ConditionProblem {
  try {
    new Condition(text);
  } catch (error) {
    if (error instanceof ConditionProblem) return error;
  }
  throw new Error(`${text} is taken`);
}

describe("a condition", () => {
  it("P5: reads tenant, agent, token, user, method, target and arguments", () => {
    const text = "agent.owner == 'search' && 'mcp:admin' in token.scopes && args.path.startsWith('/tmp/')";
    expect(say(text, { path: "/tmp/x" })).toBe("met");
    expect(say(text, { path: "/etc/x" })).toBe("unmet");
    expect(say(text, { path: "/tmp/x" }, { scopes: ["mcp:tools:invoke"] })).toBe("unmet");
    expect(say("tenant == 'acme' && user.id == 'alice' && target == 'read' && method == 'tools/call'")).toBe("met");
    expect(say("args.n > 2 && args.n == 3 && 3 in args.list && size(args.list) == 2", { n: 3, list: [1, 3] })).toBe(
      "met",
    );
    expect(say("args.tags.exists(tag, tag.endsWith('y'))", { tags: ["x", "xy"] })).toBe("met");
  });

  it("fails where it reads what is not there, has the wrong type, or gives no bool", () => {
    expect(say("args.path == 'x'", {})).toBe("failed");
    expect(say("args.path.startsWith('x')", { path: 1 })).toBe("failed");
    expect(say("agent.name == 'x'", {})).toBe("failed");
    expect(say("user.id == 'x'", {}, { user: undefined })).toBe("failed");
    expect(say("args.flag", { flag: "true" })).toBe("failed");
    expect(say("args.flag", { flag: true })).toBe("met");
    expect(say("args.x == 1", null)).toBe("failed");
    expect(say("args.x == 1", [1])).toBe("failed");
    expect(say("1 / int(args.n) == 1", { n: 0 })).toBe("failed");
  });

  it("asks with has() what may be missing", () => {
    expect(say("has(args.force) && args.force == true", {})).toBe("unmet");
    expect(say("has(agent.name)")).toBe("unmet");
  });

  it("stays open without arguments, unless what it says of the caller settles it", () => {
    expect(say("agent.owner == 'search' && args.path == 'x'")).toBe("open");
    expect(say("agent.owner == 'other' && args.path == 'x'")).toBe("unmet");
    expect(say("agent.owner == 'search' || args.path == 'x'")).toBe("met");
    expect(new Condition("agent.owner == 'x'").readsArguments).toBe(false);
    expect(say("agent.name == 'x'")).toBe("failed");
  });

  it("A13: reads names that mean something to JavaScript like any other", () => {
    for (const name of ["__proto__", "constructor", "toString"]) {
      expect(say(`has(args.${name})`, {})).toBe("unmet");
      expect(say(`args.${name} == 1`, JSON.parse(`{"${name}":1}`))).toBe("met");
    }
    expect(say("has(args.path)", JSON.parse('{"__proto__":{"path":"x"}}'))).toBe("unmet");
  });

  it("is refused with the place of the mistake", () => {
    expect(problem("agent.owner == 'a' && agent.nope == 'x'")).toMatchObject({
      message: expect.stringContaining("No such key: nope"),
      offset: 28,
    });
    expect(problem("true && (").offset).toBe(9);
    expect(problem("agent.id + 1").message).toContain("no such overload: string + int");
    expect(problem("server == 'x'").message).toMatch(/Unknown variable: server; there are tenant, method/);
    expect(problem("agent.id").message).toMatch(/type string, and must give true or false/);
    expect(problem(`${"true && ".repeat(300)}true`).message).toMatch(/Exceeded max/i);
  });
});

describe("no arguments make a condition take long", () => {
  it.each([
    ["args.list.map(x, x + x).size() > 1", "map()"],
    ["cel.bind(x, args.a + args.a, x == 'y')", "bind()"],
    ["args.list.join(',') == 'x'", "join()"],
    ["args.a.split('').size() > 1", "split()"],
    ["args.list.all(x, args.text.contains(x))", "only its own variable"],
    ["args.list.all(x, args.list.all(y, x == y))", "only its own variable"],
    ["args.a.all(x, x.b.all(y, y == x.c))", "only its own variable"],
    ["args.list.all(x, token.scopes.exists(s, s == x))", "may only go over"],
    ["args.list.all(x, [1, 2].exists(x, args.list.exists(y, x == y)))", "may only go over"],
    ["[args.a, args.b].all(x, x == args.c)", "only its own variable"],
    ["args.filter(x, true).all(x, args.size() > 1)", "only its own variable"],
    ["args.a.matches(args.b)", "written out"],
    ["args.a.matches('((a{100}){100}){100}')", "matches:"],
    ["args.a.matches('(a|b|ab|ba){250}')", "too large"],
    ["args.a.matches('(a)\\\\1')", "matches:"],
  ])("%s is refused", (text, reason) => {
    expect(problem(text).message).toContain(reason);
  });

  it("what stays in the arguments' own size is taken", () => {
    expect(say("args.items.all(item, item.tags.exists(tag, tag == 'x'))", { items: [{ tags: ["x"] }] })).toBe("met");
    expect(say("token.scopes.exists(scope, scope == 'mcp:' + args.area)", { area: "admin" })).toBe("met");
    expect(say("args.list.all(x, x in ['a', 'b'] && x in token.scopes || agent.id != '')", { list: ["a"] })).toBe(
      "met",
    );
  });

  it("an expression is searched for in linear time, and in no more than 16,384 characters", () => {
    const text = String.raw`args.a.matches('^(a+)+$')`;
    expect(say(text, { a: "a".repeat(16_383) })).toBe("met");
    expect(say(text, { a: `${"a".repeat(16_000)}!` })).toBe("unmet");
    expect(say(text, { a: "a".repeat(16_385) })).toBe("failed");
    expect(
      say("args.a . // matches('x')\n matches ( // or matches(\n '[.]txt$') && args.a.matches('^b')", { a: "b.txt" }),
    ).toBe("met");
  });

  it("a loop reads at most 10,000 values", () => {
    const text = "args.list.all(x, x == 1)";
    expect(say(text, { list: Array.from({ length: 9_999 }, () => 1) })).toBe("met");
    expect(say(text, { list: Array.from({ length: 10_000 }, () => 1) })).toBe("failed");
    expect(say("args.list.size() > 1", { list: Array.from({ length: 10_000 }, () => 1) })).toBe("met");
  });
});

it("evaluates comparisons as JavaScript does, for any strings and numbers (property)", () => {
  const quoted = (text: string) => JSON.stringify(text).replaceAll(/[\u2028\u2029\ud800-\udfff]/g, "?");
  const plain = fc.string({ unit: fc.constantFrom("a", "b", "/", ".", "'", '"', "\\", "é"), maxLength: 6 });
  fc.assert(
    fc.property(plain, plain, fc.integer({ min: -1000, max: 1000 }), fc.double({ noNaN: true }), (a, b, n, d) => {
      const args = { a, n: d };
      expect(say(`args.a == ${quoted(b)}`, args)).toBe(a === b ? "met" : "unmet");
      expect(say(`args.a.startsWith(${quoted(b)})`, args)).toBe(a.startsWith(b) ? "met" : "unmet");
      expect(say(`args.a.contains(${quoted(b)})`, args)).toBe(a.includes(b) ? "met" : "unmet");
      expect(say(`args.n > ${n}`, args)).toBe(d > n ? "met" : "unmet");
      expect(say(`args.a in [${quoted(b)}, 'a']`, args)).toBe(a === b || a === "a" ? "met" : "unmet");
    }),
    { numRuns: 300 },
  );
});
