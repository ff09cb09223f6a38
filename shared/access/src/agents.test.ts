import { accessRuleSchema, type AccessRule } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { compileRules, type Operation } from "./rulebook.ts";

const rulebook = (rules: (Partial<AccessRule> & { agentPattern: string })[], settings = {}) =>
  compileRules(
    new Map([
      [
        "acme",
        {
          version: 1,
          mcpEnabled: true,
          a2aEnabled: true,
          hideDenied: false,
          accessRules: rules.map((rule) => accessRuleSchema.parse(rule)),
          ...settings,
        },
      ],
    ]),
  );
const call = (target: string | undefined, more: Partial<Operation> = {}): Operation => ({
  ...{ tenant: "acme", agent: { id: "a-1" }, protocol: "a2a", method: "SendMessage", targetKind: "agents" },
  target,
  ...more,
});
const skills = { tenant: "acme", protocol: "a2a", kind: "skills" } as const;

describe("rules about agents and skills", () => {
  it("allow every agent until a rule of the caller states which", () => {
    const rules = rulebook([{ agentPattern: "a-*", allowedAgents: ["plan*"], deniedAgents: ["planner-x"] }]);
    expect(rules.decide(call("planner"))).toMatchObject({ ok: true, rule: "accessRules[0].allowedAgents[0]" });
    expect(rules.decide(call("coder"))).toEqual({
      ok: false,
      rule: "default-deny",
      fault: "agent_access_denied",
      allowed: ["plan*"],
    });
    expect(rules.decide(call("planner-x"))).toMatchObject({ ok: false, rule: "accessRules[0].deniedAgents[0]" });
    expect(rules.decide(call("coder", { agent: { id: "b" } }))).toMatchObject({ ok: true, rule: "default-allow" });
  });

  it("hold for every operation, whatever it is called, and fail closed where it names no agent", () => {
    const rules = rulebook([{ agentPattern: "*", deniedAgents: ["planner"] }]);
    for (const method of ["GetTask", "tools/call", "GetExtendedAgentCard", ""])
      expect(rules.decide(call("planner", { method, targetKind: undefined })).ok).toBe(false);
    expect(rules.decide(call(undefined)).ok).toBe(false);
  });

  it("speak of agents only over A2A, and of tools only over MCP", () => {
    const rules = rulebook([{ agentPattern: "*", deniedAgents: ["x"], deniedTools: ["planner"], allowedTools: ["*"] }]);
    expect(rules.decide(call("planner")).ok).toBe(true);
    expect(rules.decide(call("x", { protocol: "mcp", method: "tools/call", targetKind: "tools" })).ok).toBe(true);
  });

  it("take conditions and shadow mode, and know that there are no arguments", () => {
    const rules = rulebook([
      { agentPattern: "*", when: "method == 'CancelTask'", deniedAgents: ["planner"] },
      { agentPattern: "*", when: "args.x == 1", deniedAgents: ["coder"] },
      { agentPattern: "*", mode: "shadow", deniedAgents: ["writer"] },
    ]);
    expect(rules.decide(call("planner", { method: "CancelTask" })).ok).toBe(false);
    expect(rules.decide(call("planner")).ok).toBe(true);
    const unreadable = rules.decide(call("coder"));
    expect(unreadable.ok).toBe(false);
    expect(unreadable.needsArguments).toBeUndefined();
    expect(rules.decide(call("writer"))).toMatchObject({ ok: true, shadow: { decision: "deny" } });
  });

  it("are told as an unknown agent where the tenant hides what it denies, and not at all where A2A is off", () => {
    const rules = [{ agentPattern: "*", deniedAgents: ["planner"] }];
    expect(rulebook(rules, { hideDenied: true }).decide(call("planner"))).toMatchObject({ ok: false, hide: true });
    expect(rulebook(rules, { a2aEnabled: false }).decide(call("x"))).toMatchObject({ fault: "protocol_disabled" });
  });

  it("show skills as they are allowed, to nobody in particular only what is said of every agent", () => {
    const rules = rulebook([
      { agentPattern: "*", deniedSkills: ["drop"] },
      { agentPattern: "a-*", allowedSkills: ["make"] },
    ]);
    const shown = (id: string) =>
      ["make", "drop", "read"].filter((target) => rules.shows({ ...skills, agent: { id }, target }));
    expect(shown("a-1")).toEqual(["make"]);
    expect(shown("b")).toEqual(["make", "read"]);
    expect(shown("")).toEqual(["make", "read"]);
    expect(
      rulebook([{ agentPattern: "*", allowedSkills: [] }]).shows({ ...skills, agent: { id: "" }, target: "x" }),
    ).toBe(false);
  });
});
