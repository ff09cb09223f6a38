import { createAddressGuard } from "@sluice/net";
import { describe, expect, it } from "vitest";
import { readConf } from "../read-conf.ts";
import { explainCall } from "./explain-call.ts";
import { explanationSchema, questionSchema, type Question } from "./question.ts";

const file = "tenants.yaml";
const text = `tenants:
  acme:
    agents:
      - id: a-1
        owner: search
        apiKeys: [sha256:${"ab".repeat(32)}]
    mcp: { endpoints: [{ name: main, url: "https://mcp.example.com/mcp" }] }
    accessRules:
      - agentPattern: "a-*"
        when: "agent.owner == 'search' && args.path.startsWith('/tmp/')"
        allowedTools: [list, read]
      - agentPattern: "*"
        deniedTools:
          - "write_*"
          - "del*"
      - { agentPattern: "*", mode: shadow, deniedTools: [read] }
      - { agentPattern: "a-*", allowedAgents: [plan*], deniedSkills: [drop] }
      - { agentPattern: "a-*", when: "method == 'CancelTask'", deniedAgents: ["*"] }
    a2a: { endpoints: [{ name: planner, url: "https://planner.example.com" }, { name: coder, url: "https://c.example.com" }] }
`;
const accepted = { conf: readConf(text, { file, guard: createAddressGuard([]) }), file, text };
const ask = (question: Partial<Question>) => {
  const answer = explainCall(accepted, questionSchema.parse({ tenant: "acme", agent: "a-1", ...question }));
  return explanationSchema.parse(answer);
};

describe("explain (P5)", () => {
  it("names the rule that decided, its line and column, and what rules in shadow mode would change", () => {
    expect(ask({ tool: "read", args: { path: "/tmp/x" } })).toMatchObject({
      decision: "allow",
      rule: "accessRules[0].allowedTools[1]",
      at: { file, line: 11, column: 30 },
      shadow: { decision: "deny", rule: "accessRules[2].deniedTools[0]", at: { line: 16 } },
      statements: [
        { mode: "shadow", decides: false },
        { effect: "allow", decides: true },
      ],
    });
    expect(ask({ tool: "delete" })).toMatchObject({
      decision: "deny",
      rule: "accessRules[1].deniedTools[1]",
      at: { file, line: 15, column: 13 },
    });
  });

  it("needs no tenant where there is one", () => {
    expect(ask({ tenant: undefined, tool: "delete" })).toMatchObject({ rule: "accessRules[1].deniedTools[1]" });
    const [acme] = Object.values(accepted.conf.tenants);
    if (acme === undefined) throw new Error("no tenant");
    const two = { ...accepted, conf: { ...accepted.conf, tenants: { acme, beta: acme } } };
    expect(() => explainCall(two, { agent: "a-1", tool: "read" })).toThrow("name one of the tenants: acme, beta");
  });

  it("says that a call depends on arguments where none are given", () => {
    expect(ask({ tool: "read" })).toMatchObject({ decision: "depends on arguments" });
    expect(ask({ tool: "read", owner: "others" })).toMatchObject({ decision: "deny", rule: "default-deny" });
    expect(ask({ tool: "read", args: {} })).toMatchObject({
      decision: "deny",
      argumentRule: "accessRules[0].allowedTools[1]",
      allowed: ["list", "read"],
    });
  });

  it("explains prompts and resources, and what a setting decides", () => {
    expect(ask({ prompt: "p" })).toMatchObject({ decision: "allow", rule: "default-allow" });
    expect(ask({ resource: "file:///x" })).toMatchObject({ decision: "allow", rule: "default-allow" });
    const off = { ...accepted, conf: structuredClone(accepted.conf) };
    Object.assign(off.conf.tenants["acme"]?.settings ?? {}, { mcp_enabled: false });
    const question = questionSchema.parse({ tenant: "acme", agent: "a-1", tool: "read" });
    expect(explainCall(off, question)).toMatchObject({
      decision: "deny",
      rule: "settings.mcp_enabled",
      statements: [],
    });
  });

  it("explains calls of agents over A2A, and what a card shows", () => {
    expect(ask({ a2a: "planner" })).toMatchObject({
      decision: "allow",
      rule: "accessRules[3].allowedAgents[0]",
      at: { line: 17, column: 48 },
    });
    expect(ask({ a2a: "coder" })).toMatchObject({ decision: "deny", rule: "default-deny", allowed: ["plan*"] });
    expect(ask({ agent: "other", a2a: "coder" })).toMatchObject({ decision: "allow", rule: "default-allow" });
    expect(ask({ skill: "drop" })).toMatchObject({ decision: "deny", rule: "accessRules[3].deniedSkills[0]" });
    expect(ask({ skill: "make", server: "planner" })).toMatchObject({ decision: "allow", rule: "default-allow" });
    expect(() => ask({ a2a: "nobody" })).toThrow("no agent nobody in a2a.endpoints");
    expect(() => ask({ skill: "make", server: "main" })).toThrow("no server main");
  });

  it("explains an operation of A2A as any revision calls it", () => {
    for (const method of ["CancelTask", "tasks/cancel"])
      expect(ask({ a2a: "planner", method })).toMatchObject({
        decision: "deny",
        rule: "accessRules[4].deniedAgents[0]",
        at: { line: 18 },
      });
    for (const method of ["GetTask", "message/send", "tasks/sendSubscribe"])
      expect(ask({ a2a: "planner", method })).toMatchObject({ decision: "allow" });
    expect(() => ask({ a2a: "planner", method: "tools/call" })).toThrow("is no operation of A2A: SendMessage, ");
    expect(() => ask({ tool: "read", method: "CancelTask" })).toThrow("goes with a2a alone");
  });

  it("prepares only the tenant that is asked about, and once for a configuration", () => {
    const conf = structuredClone(accepted.conf);
    const own = { ...accepted, conf };
    const touched: string[] = [];
    const watched = (name: string, tenant: object) =>
      new Proxy(tenant, {
        get: (target, key, self) => (touched.push(`${name}.${String(key)}`), Reflect.get(target, key, self)),
      });
    const [acme] = Object.values(conf.tenants);
    Object.assign(conf.tenants, { acme: watched("acme", acme ?? {}), other: watched("other", acme ?? {}) });
    const question = questionSchema.parse({ tenant: "acme", agent: "a-1", tool: "delete" });
    const answers = [explainCall(own, question), explainCall(own, question)];
    expect(answers[0]).toEqual(answers[1]);
    expect(touched.filter((key) => key.startsWith("other."))).toEqual([]);
    expect(touched.filter((key) => key === "acme.accessRules")).toHaveLength(1);
  });

  it("refuses a question about nobody, nothing or two things", () => {
    expect(() => ask({ tenant: "other", tool: "x" })).toThrow("no tenant other");
    expect(() => ask({ server: "other", tool: "x" })).toThrow("no server other");
    expect(() => ask({})).toThrow("name one of tool, prompt, resource, a2a and skill");
    expect(() => ask({ tool: "x", prompt: "y" })).toThrow("name one of");
  });
});
