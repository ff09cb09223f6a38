import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { AccessRule, PolicySection } from "@sluice/contracts";
import { PatternIndex } from "./pattern-index.ts";
import { compileRules } from "./rulebook.ts";

const section = (accessRules: Partial<AccessRule>[], rest: Partial<PolicySection> = {}): PolicySection => ({
  version: 1,
  mcpEnabled: true,
  hideDenied: false,
  accessRules: accessRules.map((rule) => ({ agentPattern: "*", allowedTools: [], deniedTools: [], ...rest, ...rule })),
  ...rest,
});

/** Seed 001, section 3. */
const seed = section([
  {
    agentPattern: "sentinel-*",
    allowedTools: ["search_patterns", "classify_content", "read_config"],
    deniedTools: ["execute_code", "write_file"],
  },
  {
    agentPattern: "alchemy-*",
    allowedTools: ["generate_video", "render_scene", "read_template"],
    deniedTools: ["delete_*"],
  },
  { agentPattern: "admin-*", allowedTools: ["*"] },
]);

function decide(rules: PolicySection, agent: string, target?: string, method = "tools/call") {
  return compileRules(new Map([["acme", rules]])).decide({
    tenant: "acme",
    agent: { id: agent },
    protocol: "mcp",
    method,
    target,
  });
}

describe("tool access (P5, B6)", () => {
  it("P5: allows what a rule of the agent allows, and names the entry that decided", () => {
    expect(decide(seed, "sentinel-1", "classify_content")).toEqual({
      ok: true,
      rule: "accessRules[0].allowedTools[1]",
    });
    expect(decide(seed, "admin-1", "anything at all")).toEqual({ ok: true, rule: "accessRules[2].allowedTools[0]" });
  });

  it("P5: denies what nothing allows, and says what would be allowed", () => {
    expect(decide(seed, "sentinel-1", "generate_video")).toEqual({
      ok: false,
      rule: "default-deny",
      fault: "tool_access_denied",
      allowed: ["search_patterns", "classify_content", "read_config"],
    });
    expect(decide(seed, "stranger", "read_config")).toMatchObject({
      ok: false,
      rule: "default-deny",
      allowed: [],
    });
    expect(decide(section([]), "admin-1", "read_config")).toMatchObject({ ok: false, rule: "default-deny" });
  });

  it("P5: a denial wins over every permission, whatever the order of the rules", () => {
    const rules = [{ allowedTools: ["*", "delete_all"] }, { agentPattern: "a*", deniedTools: ["delete_*"] }];
    expect(decide(section(rules), "a1", "delete_all")).toMatchObject({
      ok: false,
      rule: "accessRules[1].deniedTools[0]",
    });
    expect(decide(section(rules.toReversed()), "a1", "delete_all")).toMatchObject({
      ok: false,
      rule: "accessRules[0].deniedTools[0]",
    });
    expect(decide(section(rules), "b1", "delete_all")).toEqual({ ok: true, rule: "accessRules[0].allowedTools[1]" });
  });

  it("P5: all rules whose pattern fits the agent apply together", () => {
    const rules = section([
      { agentPattern: "team-*", allowedTools: ["read", "list"] },
      { agentPattern: "*-lead", allowedTools: ["list", "write"] },
      { agentPattern: "other-*", allowedTools: ["secret"] },
    ]);
    expect(decide(rules, "team-lead", "read").ok).toBe(true);
    expect(decide(rules, "team-lead", "write")).toEqual({ ok: true, rule: "accessRules[1].allowedTools[1]" });
    expect(decide(rules, "team-lead", "secret")).toMatchObject({ ok: false, allowed: ["read", "list", "write"] });
  });

  it("A11: names that only look alike are denied, also against denials by wildcard", () => {
    const lookalikes = [
      "READ_CONFIG",
      "Read_config",
      "ｒead_config",
      "read_config\u200b",
      "\ufeffread_config",
      "re\u00adad_config",
      " read_config",
      "read_config ",
      "read_config\0",
      "read_config\n",
      "read-config",
      "read\uff3fconfig",
      "read_config/",
      "server/read_config",
      "r\u0435ad_config",
      "",
    ];
    for (const name of lookalikes)
      expect(decide(seed, "sentinel-1", name), JSON.stringify(name)).toMatchObject({ ok: false, rule: "default-deny" });
  });

  it("A11: composed and decomposed spellings of a name are two names", () => {
    const rules = section([{ allowedTools: ["caf\u00e9"] }]);
    expect(decide(rules, "a", "caf\u00e9").ok).toBe(true);
    expect(decide(rules, "a", "cafe\u0301").ok).toBe(false);
  });

  it("A11: agent ids are compared byte by byte too", () => {
    for (const agent of ["Admin-1", "ADMIN-1", "admin\u20101", " admin-1", "xadmin-1"])
      expect(decide(seed, agent, "read_config").ok).toBe(false);
  });

  it("names that mean something to JavaScript are names like any other", () => {
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      expect(decide(seed, "sentinel-1", name).ok).toBe(false);
      const rulebook = compileRules(new Map([["acme", seed]]));
      expect(
        rulebook.decide({ tenant: name, agent: { id: "admin-1" }, protocol: "mcp", method: "tools/call", target: "x" })
          .ok,
      ).toBe(false);
    }
  });

  it("denies a tool call that names no tool, even where every tool is allowed", () => {
    expect(decide(seed, "admin-1", undefined)).toMatchObject({ ok: false, rule: "default-deny" });
    expect(decide(seed, "admin-1", "")).toMatchObject({ ok: false, rule: "default-deny" });
  });

  it("decides as a plain reading of the rules does, for any rules", () => {
    const name = fc.string({ unit: fc.constantFrom("a", "b", "*"), minLength: 1, maxLength: 4 });
    const rule = fc.record({
      agentPattern: name,
      allowedTools: fc.array(name, { maxLength: 3 }),
      deniedTools: fc.array(name, { maxLength: 3 }),
    });
    const plain = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 });
    const fits = (pattern: string, text: string) => new RegExp(`^${pattern.replaceAll(/\*+/g, ".*")}$`).test(text);
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), plain, plain, (rules, agent, tool) => {
        const mine = rules.filter(({ agentPattern }) => fits(agentPattern, agent));
        const denied = mine.some(({ deniedTools }) => deniedTools.some((pattern) => fits(pattern, tool)));
        const allowed = mine.some(({ allowedTools }) => allowedTools.some((pattern) => fits(pattern, tool)));
        expect(decide(section(rules), agent, tool).ok).toBe(allowed && !denied);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("other operations", () => {
  it("pass where the tenant speaks the protocol", () => {
    expect(decide(seed, "stranger", undefined, "tools/list")).toEqual({ ok: true, rule: "settings.mcp_enabled" });
  });

  it("are refused with protocol_disabled where it does not, tool calls included", () => {
    const off = { ...seed, mcpEnabled: false };
    const refusal = { ok: false, rule: "settings.mcp_enabled", fault: "protocol_disabled", allowed: [] };
    expect(decide(off, "admin-1", undefined, "initialize")).toEqual(refusal);
    expect(decide(off, "admin-1", "read_config")).toEqual(refusal);
  });

  it("are refused where the tenant is unknown or the protocol is one that no setting enables", () => {
    const rulebook = compileRules(new Map([["acme", seed]]));
    const operation = { agent: { id: "admin-1" }, method: "tools/list" } as const;
    expect(rulebook.decide({ ...operation, tenant: "other", protocol: "mcp" })).toMatchObject({
      ok: false,
      rule: "unknown-tenant",
    });
    expect(rulebook.decide({ ...operation, tenant: "acme", protocol: "a2a" })).toMatchObject({
      ok: false,
      fault: "protocol_disabled",
    });
  });
});

describe("a rulebook", () => {
  it("keeps tenants apart and carries the newest version", () => {
    const rulebook = compileRules(
      new Map([
        ["one", section([{ allowedTools: ["x"] }], { version: 3 })],
        ["two", section([], { version: 7 })],
      ]),
    );
    expect(rulebook.version).toBe(7);
    const operation = { agent: { id: "a" }, protocol: "mcp", method: "tools/call", target: "x" } as const;
    expect(rulebook.decide({ ...operation, tenant: "one" }).ok).toBe(true);
    expect(rulebook.decide({ ...operation, tenant: "two" }).ok).toBe(false);
  });

  it("still decides right when more agents came than it keeps ready", () => {
    const rulebook = compileRules(new Map([["acme", seed]]));
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 40_000; index++) {
        const operation = { tenant: "acme", protocol: "mcp", method: "tools/call", target: "read_config" } as const;
        expect(rulebook.decide({ ...operation, agent: { id: `sentinel-${index}` } }).ok).toBe(true);
      }
    }
  });

  it("indexes each pattern once, however many agents and sets of rules there are", () => {
    const patterns = Array.from({ length: 100 }, (_, index) => `tool-${index}`);
    const own = Array.from({ length: 1_000 }, (_, index) => ({ agentPattern: `a-${index}`, deniedTools: ["tool-7"] }));
    const rulebook = compileRules(new Map([["acme", section([{ allowedTools: patterns }, ...own])]]));
    const added = vi.spyOn(PatternIndex.prototype, "add");
    for (let index = 0; index < own.length; index++)
      for (const target of ["tool-1", "tool-7", "unknown"]) {
        const call = { tenant: "acme", protocol: "mcp", method: "tools/call", agent: { id: `a-${index}` } } as const;
        expect(rulebook.decide({ ...call, target }).ok).toBe(target === "tool-1");
      }
    expect(added).toHaveBeenCalledTimes(patterns.length + own.length);
    added.mockRestore();
  });

  it("names allowed tools only as far as 64 refusals fit one message of the bus", () => {
    const many = Array.from({ length: 2_000 }, (_, index) => `${"\u0001".repeat(100)}${index}`);
    const verdict = decide(section([{ allowedTools: many }]), "a", "x");
    expect(verdict.ok).toBe(false);
    expect(Buffer.byteLength(JSON.stringify(verdict)) * 64).toBeLessThan(1024 * 1024);
  });
});
