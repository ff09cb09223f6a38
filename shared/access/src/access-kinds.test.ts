import { describe, expect, it } from "vitest";
import type { AccessRule, ListedKind, PolicySection } from "@sluice/contracts";
import { compileRules } from "./rulebook.ts";

const section = (accessRules: Partial<AccessRule>[], rest: Partial<PolicySection> = {}): PolicySection => ({
  version: 1,
  mcpEnabled: true,
  hideDenied: false,
  accessRules: accessRules.map((rule) => ({ agentPattern: "*", allowedTools: [], deniedTools: [], ...rule })),
  ...rest,
});

interface Asked {
  readonly agent?: string;
  readonly method: string;
  readonly target?: string;
  readonly targetKind?: ListedKind;
}

function decide(rules: PolicySection, asked: Asked) {
  const rulebook = compileRules(new Map([["acme", rules]]));
  return rulebook.decide({ tenant: "acme", protocol: "mcp", ...asked, agent: { id: asked.agent ?? "a" } });
}

const resourceMethods = ["resources/read", "resources/subscribe", "resources/unsubscribe"];
const openByDefault = [
  ...[{ method: "prompts/get" }, { method: "completion/complete", targetKind: "prompts" } as const].map(
    (how) => [how, "greet", "Prompts", "prompt_access_denied"] as const,
  ),
  ...[
    ...resourceMethods.map((method) => ({ method })),
    { method: "completion/complete", targetKind: "resources" } as const,
  ].map((how) => [how, "test://notes/1", "Resources", "resource_access_denied"] as const),
];

describe.each(openByDefault)("A12: %o of %s", (how, target, kind, fault) => {
  const asked: Asked = { ...how, target };
  const [allowed, denied] = [`allowed${kind}`, `denied${kind}`];

  it("is allowed where no rule of the agent says what is: rules about tools say nothing about it", () => {
    const rules = section([
      { allowedTools: [], deniedTools: ["*"] },
      { agentPattern: "other", [allowed]: [] },
    ]);
    expect(decide(rules, asked)).toEqual({ ok: true, rule: "default-allow" });
  });

  it("is denied where a rule denies it, with the entry that did, also against a permission", () => {
    for (const pattern of [target, `${target.slice(0, 3)}*`]) {
      expect(decide(section([{ [denied]: ["x", pattern] }]), asked)).toEqual({
        ok: false,
        rule: `accessRules[0].${denied}[1]`,
        fault,
        allowed: ["*"],
      });
      expect(decide(section([{ [allowed]: [target] }, { [denied]: [pattern] }]), asked)).toMatchObject({
        ok: false,
        rule: `accessRules[1].${denied}[0]`,
        allowed: [target],
      });
    }
  });

  it("is denied by default where one rule of the agent says what is allowed, be it nothing", () => {
    expect(decide(section([{}, { [allowed]: [] }]), asked)).toEqual({
      ok: false,
      rule: "default-deny",
      fault,
      allowed: [],
    });
    const rules = section([{ [allowed]: ["other"] }, { agentPattern: "b", [allowed]: [`${target.slice(0, 3)}*`] }]);
    expect(decide(rules, asked)).toMatchObject({ ok: false, rule: "default-deny", allowed: ["other"] });
    expect(decide(rules, { ...asked, agent: "b" })).toEqual({ ok: true, rule: `accessRules[1].${allowed}[0]` });
  });

  it("is hidden where the tenant hides what it denies", () => {
    expect(decide(section([{ [denied]: ["*"] }], { hideDenied: true }), asked)).toMatchObject({
      ok: false,
      hide: true,
    });
    expect(decide(section([], { hideDenied: true }), asked)).toEqual({ ok: true, rule: "default-allow" });
  });

  it("is shown in a list exactly where it is allowed", () => {
    const shown = {
      tenant: "acme",
      agent: { id: "a" },
      protocol: "mcp",
      kind: kind.toLowerCase() as ListedKind,
    } as const;
    for (const rule of [{}, { [allowed]: [] }, { [allowed]: [target] }, { [denied]: [target] }]) {
      const rules = section([rule]);
      const rulebook = compileRules(new Map([["acme", rules]]));
      expect(rulebook.shows({ ...shown, target })).toBe(decide(rules, asked).ok);
      expect(rulebook.shows({ ...shown, target: "" })).toBe(false);
    }
  });
});

describe("spellings of a URI", () => {
  const read = (rule: Partial<AccessRule>, target: string) =>
    decide(section([rule]), { method: "resources/read", target }).ok;

  it("A12: no other spelling of a denied URI passes, for servers that parse it take it for the same", () => {
    const spellings = [
      "file:///secret/key",
      "FILE:///secret/key",
      "file:///public/../secret/key",
      "file:///public/%2e%2e/secret/key",
      "file:///public/..%2fsecret/key",
      "file:///%73ecret/key",
      "file://localhost/secret/key",
      " file:///secret/key",
      "fi\nle:///secret/key",
      "file:/secret/key",
    ];
    for (const uri of spellings) {
      expect(read({ deniedResources: ["file:///secret/*"] }, uri), uri).toBe(false);
      expect(read({ allowedResources: ["file:///public/*"] }, uri), uri).toBe(false);
      expect(read({ deniedResources: ["FILE:///secret/*"] }, uri), uri).toBe(false);
    }
    expect(read({ deniedResources: ["https://Example.com/*"] }, "https://example.com/a")).toBe(false);
  });

  it("A12: an allowed URI passes as its pattern was written", () => {
    const passing: [string, string][] = [
      ["https://Example.com/a", "https://Example.com/a"],
      ["file:///my docs/*", "file:///my docs/a"],
      ["file:///my%20docs/*", "file:///my%20docs/%C3%A9"],
      ["not a uri", "not a uri"],
      ["test://template/{id}/data", "test://template/{id}/data"],
      ["test://template/*", "test://template/{id}/data"],
      ["*", "custom:anything%"],
    ];
    for (const [pattern, uri] of passing) expect(read({ allowedResources: [pattern] }, uri), uri).toBe(true);
    expect(read({ allowedResources: ["test://template/1/data"] }, "test://template/{id}/data")).toBe(false);
  });
});

it("A12: what is completed without saying what it is, is denied", () => {
  const rules = section([{ deniedPrompts: ["x"] }]);
  expect(decide(rules, { method: "completion/complete" }).ok).toBe(false);
});
