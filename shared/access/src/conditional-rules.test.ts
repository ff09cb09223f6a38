import { describe, expect, it } from "vitest";
import type { AccessRule, PolicySection } from "@sluice/contracts";
import { explain } from "./explain.ts";
import { compileRules, type Operation } from "./rulebook.ts";

const section = (accessRules: Partial<AccessRule>[]): PolicySection => ({
  version: 1,
  mcpEnabled: true,
  hideDenied: false,
  accessRules: accessRules.map((rule) => ({ agentPattern: "*", allowedTools: [], deniedTools: [], ...rule })),
});
const rulebookOf = (...rules: Partial<AccessRule>[]) => compileRules(new Map([["acme", section(rules)]]));
const call = (changed: Partial<Operation> = {}): Operation => ({
  tenant: "acme",
  agent: { id: "a", owner: "search" },
  protocol: "mcp",
  method: "tools/call",
  target: "read",
  ...changed,
});
const decide = (rules: Partial<AccessRule>[], changed?: Partial<Operation>) =>
  rulebookOf(...rules).decide(call(changed));
const shows = (rules: Partial<AccessRule>[], changed: Partial<Operation> = {}) => {
  const { method: _, args: __, ...listed } = call(changed);
  return rulebookOf(...rules).shows({ ...listed, kind: "tools" });
};

const inTmp = { when: "args.path.startsWith('/tmp/')", allowedTools: ["read"] };
const everything = { allowedTools: ["*"] };

describe("conditions on the caller (P5)", () => {
  const rules = [{ when: "agent.owner == 'search' && 'mcp:admin' in token.scopes", allowedTools: ["read"] }];

  it("are settled at once, for calls and lists alike, and no lease may stand on them", () => {
    expect(decide(rules, { scopes: ["mcp:admin"] })).toEqual({
      ok: true,
      rule: "accessRules[0].allowedTools[0]",
      isConditional: true,
    });
    expect(decide(rules)).toMatchObject({ ok: false, rule: "default-deny", allowed: [] });
    expect(shows(rules, { scopes: ["mcp:admin"] })).toBe(true);
    expect(shows(rules)).toBe(false);
    expect(decide([everything])).toEqual({ ok: true, rule: "accessRules[0].allowedTools[0]" });
  });

  it("fail closed: a permission does not apply, and a denial does", () => {
    const unreadable = { when: "agent.name == 'x'" };
    expect(decide([{ ...unreadable, ...everything }])).toMatchObject({ ok: false, rule: "default-deny" });
    expect(decide([everything, { ...unreadable, deniedTools: ["read"] }])).toMatchObject({
      ok: false,
      rule: "accessRules[1].deniedTools[0]",
    });
  });

  it("that are no CEL fail closed too, should control ever let one through", () => {
    expect(decide([{ when: "true &&", ...everything }])).toMatchObject({ ok: false, rule: "default-deny" });
    expect(decide([everything, { when: "true &&", deniedTools: ["read"] }]).ok).toBe(false);
  });

  it("do not open prompts and resources to those who do not meet them", () => {
    const admins = { when: "'admin' in token.scopes", allowedPrompts: ["x"] };
    const prompt = { method: "prompts/get", target: "y" };
    expect(decide([admins], prompt)).toMatchObject({ ok: false, rule: "default-deny", allowed: [] });
    expect(decide([admins], { ...prompt, target: "x", scopes: ["admin"] }).ok).toBe(true);
  });
});

describe("conditions on arguments (P5, A12)", () => {
  it("leave a call open until policy has seen its arguments", () => {
    expect(decide([inTmp])).toMatchObject({ ok: true, needsArguments: true });
    expect(decide([inTmp], { args: { path: "/tmp/x" } })).toEqual({
      ok: true,
      rule: "accessRules[0].allowedTools[0]",
      isConditional: true,
    });
    expect(decide([inTmp], { args: { path: "/etc/x" } })).toMatchObject({
      ok: false,
      rule: "default-deny",
      argumentRule: "accessRules[0].allowedTools[0]",
      allowed: ["read"],
    });
    expect(decide([inTmp], { args: {} }).ok).toBe(false);
    expect(decide([inTmp], { args: null }).ok).toBe(false);
  });

  it("are not asked for where the call is settled without them", () => {
    expect(decide([inTmp, everything]).needsArguments).toBeUndefined();
    expect(decide([inTmp, { deniedTools: ["read"] }]).needsArguments).toBeUndefined();
    expect(decide([inTmp], { target: "write" }).needsArguments).toBeUndefined();
    const others = { ...inTmp, when: `agent.owner == 'other' && ${inTmp.when}` };
    expect(decide([others]).needsArguments).toBeUndefined();
    expect(decide([others]).ok).toBe(false);
  });

  it("show in a list what may be used with some arguments", () => {
    expect(shows([inTmp])).toBe(true);
    expect(shows([everything, { when: "args.force == true", deniedTools: ["read"] }])).toBe(true);
    expect(shows([{ ...inTmp, when: `agent.owner == 'other' && ${inTmp.when}` }])).toBe(false);
  });

  it("of a denial deny where they are met or cannot be evaluated", () => {
    const rules = [everything, { when: "args.force == true", deniedTools: ["read"] }];
    expect(decide(rules, { args: { force: false } }).ok).toBe(true);
    for (const args of [{ force: true }, {}, null])
      expect(decide(rules, { args })).toMatchObject({ ok: false, argumentRule: "accessRules[1].deniedTools[0]" });
  });

  it("count as for a list where a stream is resumed or something is completed", () => {
    const resumed = decide([inTmp], { asListed: true });
    expect(resumed.ok).toBe(true);
    expect(resumed.needsArguments).toBeUndefined();
    const prompts = [{ when: "args.x == 1", allowedPrompts: ["p"] }];
    const completed = decide(prompts, { method: "completion/complete", target: "p", targetKind: "prompts" });
    expect(completed).toMatchObject({ ok: true });
    expect(completed.needsArguments).toBeUndefined();
  });

  it("of resources fail at once: a resource is read without arguments", () => {
    const rules = [{ when: "args.x == 1", allowedResources: ["a://b"] }];
    const read = decide(rules, { method: "resources/read", target: "a://b" });
    expect(read).toMatchObject({ ok: false, allowed: [] });
    expect(read.needsArguments).toBeUndefined();
  });
});

describe("shadow mode (P5)", () => {
  const shadow = { mode: "shadow" } as const;

  it("records what a denial or permission would have changed, and decides nothing by it", () => {
    expect(decide([everything, { ...shadow, deniedTools: ["read"] }])).toEqual({
      ok: true,
      rule: "accessRules[0].allowedTools[0]",
      shadow: { decision: "deny", rule: "accessRules[1].deniedTools[0]" },
    });
    expect(decide([{ ...shadow, allowedTools: ["read"] }])).toMatchObject({
      ok: false,
      rule: "default-deny",
      allowed: [],
      shadow: { decision: "allow", rule: "accessRules[0].allowedTools[0]" },
    });
  });

  it("records nothing where it would have changed nothing", () => {
    expect(decide([everything, { ...shadow, deniedTools: ["write"] }]).shadow).toBeUndefined();
    expect(decide([everything, { ...shadow, allowedTools: ["read"] }]).shadow).toBeUndefined();
    expect(decide([{ deniedTools: ["*"] }, { ...shadow, allowedTools: ["read"] }]).shadow).toBeUndefined();
  });

  it("sees that stating what is allowed would close a kind that is open", () => {
    const verdict = decide([{ ...shadow, allowedPrompts: ["x"] }], { method: "prompts/get", target: "y" });
    expect(verdict).toMatchObject({
      ok: true,
      rule: "default-allow",
      shadow: { decision: "deny", rule: "default-deny" },
    });
  });

  it("asks for arguments where only a rule in shadow mode looks at them", () => {
    const rules = [everything, { ...shadow, when: "args.force == true", deniedTools: ["read"] }];
    expect(decide(rules)).toMatchObject({ ok: true, needsArguments: true, isOpenInShadowOnly: true });
    expect(decide([...rules, inTmp, { deniedTools: ["x"] }])).toMatchObject({ ok: true, isOpenInShadowOnly: true });
    expect(decide([rules[1] ?? {}, inTmp])).not.toHaveProperty("isOpenInShadowOnly");
    expect(decide(rules, { args: { force: true } }).shadow).toEqual({
      decision: "deny",
      rule: "accessRules[1].deniedTools[0]",
    });
    expect(decide(rules, { args: { force: false } }).shadow).toBeUndefined();
  });
});

it("what is refused without its arguments is not asked for them, whatever a rule in shadow mode says", () => {
  const verdict = decide([{ ...inTmp, mode: "shadow" }]);
  expect(verdict.ok).toBe(false);
  expect(verdict.needsArguments).toBeUndefined();
  expect(verdict.shadow).toBeUndefined();
});

describe("explain (P5)", () => {
  it("says what decided and what each rule that fits had to say", () => {
    const rulebook = rulebookOf(
      { ...inTmp },
      { when: "agent.name == 'x'", deniedTools: ["rea*"] },
      { mode: "shadow", deniedTools: ["read"] },
      { allowedTools: ["other"] },
      { agentPattern: "b", ...everything },
    );
    const { verdict, statements, silent, others } = explain(rulebook, call({ args: { path: "/tmp/x" } }));
    expect(verdict).toMatchObject({ ok: false, rule: "accessRules[1].deniedTools[0]" });
    expect(statements.map(({ rule, condition, says, decides }) => [rule, condition, says, decides])).toEqual([
      ["accessRules[2].deniedTools[0]", undefined, "only recorded: denies it", false],
      [
        "accessRules[1].deniedTools[0]",
        "failed",
        "denies it: its condition cannot be evaluated (No such key: name), and then a denial applies",
        true,
      ],
      ["accessRules[0].allowedTools[0]", "met", "allows it", false],
    ]);
    expect(silent).toEqual(["accessRules[3]"]);
    expect(others).toBe(1);
  });

  it("says what depends on arguments that are not given", () => {
    const { verdict, statements } = explain(rulebookOf(inTmp), call());
    expect(verdict.needsArguments).toBe(true);
    expect(statements[0]?.says).toBe(
      "allows it where its condition is met: it depends on arguments that are not given",
    );
  });
});
