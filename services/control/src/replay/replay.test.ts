import { createHash } from "node:crypto";
import { createAddressGuard } from "@sluice/net";
import { describe, expect, it } from "vitest";
import { readConf } from "../read-conf.ts";
import type { RecordedCall } from "./recorded-call.ts";
import { Replay } from "./replay.ts";
import { Tally } from "./tally.ts";

const text = `tenants:
  acme:
    agents: [{ id: moved-1, owner: payments, apiKeys: [sha256:${"ab".repeat(32)}] }]
    mcp:
      endpoints: [{ name: main, url: "https://m.example.com/mcp" }, { name: more, url: "https://n.example.com/mcp" }]
    a2a: { endpoints: [{ name: planner, url: "https://p.example.com" }, { name: coder, url: "https://c.example.com" }] }
    accessRules:
      - { agentPattern: "a-*", allowedTools: [echo, "read*"], deniedTools: [drop] }
      - { agentPattern: "a-*", when: "args.path.startsWith('/tmp/')", allowedTools: [write] }
      - { agentPattern: "a-*", when: "has(args.force) && args.force", deniedTools: [purge] }
      - { agentPattern: "a-*", allowedTools: [purge] }
      - { agentPattern: "*", when: "agent.owner == 'search'", allowedTools: [find] }
      - { agentPattern: "*", when: "user.id == 'ada'", allowedTools: [lookup] }
      - { agentPattern: "*", when: "'admin' in token.scopes && token.issuer == 'https://i'", allowedTools: [rule] }
      - { agentPattern: "a-*", mode: shadow, deniedTools: [read2] }
      - { agentPattern: "a-*", mode: shadow, when: "args.n > 1.0", deniedTools: [read3] }
      - { agentPattern: "a-*", deniedResources: ["file:///secret*"], deniedAgents: [coder] }
  off:
    settings: { mcp_enabled: false }
    mcp: { endpoints: [{ name: main, url: "https://m.example.com/mcp" }] }
`;
const conf = readConf(text, { file: "tenants.yaml", guard: createAddressGuard([]) });
const sole = structuredClone(conf);
sole.tenants["acme"]?.mcp.endpoints.splice(1);
const never = structuredClone(conf);
Object.assign(never.tenants["acme"]?.mcp ?? {}, { toolPrefix: "never" });

const allowed = { decision: "allow", rule: "accessRules[0].allowedTools[0]" } as const;
const recorded = (differing: Partial<RecordedCall> = {}): RecordedCall => ({
  ...{ call: "c-1", at: "2026-11-21T10:00:00.000Z", tenant: "acme", agent_id: "a-1", agent_name: null },
  ...{ agent_owner: null, auth: "apiKey", auth_issuer: null, auth_user: null, scopes: null, protocol: "mcp" as const },
  ...{ path: "/mcp", method: "tools/call", target: "echo", target_kind: null, server: "*", named_server: null },
  ...{ resumes: null, arguments_hash: "00".repeat(32), state: "done", fault: null, ...allowed },
  ...differing,
});
const judge = (differing: Partial<RecordedCall> = {}, under = conf) => new Replay(under).judge(recorded(differing));
const now = (differing: Partial<RecordedCall> = {}, under = conf) => {
  const judgement = judge(differing, under);
  return judgement.kind === "told" ? `${judgement.now.decision} ${judgement.now.rule}` : judgement;
};
const hashOf = (said: string) => createHash("sha256").update(said).digest("hex");
const overA2a = { protocol: "a2a", method: "SendMessage", target_kind: "agents" } as const;
const at = (path: string, server: string) => ({ ...overA2a, path, server, target: server });

describe("B4: a recorded call under another configuration", () => {
  it.each<[string, Partial<RecordedCall>, string]>([
    ["is decided by its rules", { target: "drop" }, "deny accessRules[0].deniedTools[0]"],
    ["is denied where no rule allows it", { target: "other" }, "deny default-deny"],
    [
      "is decided as a resource",
      { method: "resources/read", target: "file:///secret/x" },
      "deny accessRules[9].deniedResources[0]",
    ],
    ["needs no rule where none speaks", { method: "tools/list", target: null }, "allow settings.mcp_enabled"],
    ["is denied where its tenant is gone", { tenant: "gone" }, "deny unknown-tenant"],
    ["is denied where its protocol is off", { tenant: "off", server: "main" }, "deny settings.mcp_enabled"],
    ["is denied where A2A is off", { tenant: "off", ...at("/a2a/planner", "planner") }, "deny settings.a2a_enabled"],
    ["is denied where its server is gone", { server: "gone", path: "/mcp/gone" }, "deny unknown-server"],
    [
      "goes to the servers that are there, by an address that names none",
      { server: "gone" },
      "allow accessRules[0].allowedTools[0]",
    ],
    ["is an operation on an agent", at("/a2a/coder", "coder"), "deny accessRules[9].deniedAgents[0]"],
    ["goes to the first agent, by an address that names none", at("/a2a", "coder"), "allow default-allow"],
    ["is denied where its agent is gone", at("/a2a/gone", "gone"), "deny unknown-server"],
    [
      "looks at scopes and issuer",
      { target: "rule", scopes: ["admin"], auth_issuer: "https://i" },
      "allow accessRules[6].allowedTools[0]",
    ],
    ["without scopes has none", { target: "rule", auth_issuer: "https://i" }, "deny default-deny"],
    ["looks at user and owner", { target: "lookup", auth_user: "ada" }, "allow accessRules[5].allowedTools[0]"],
    [
      "that asks for a stream's rest is what was called",
      { method: "GET", target: null, resumes: { method: "tools/call", target: "drop" } },
      "deny accessRules[0].deniedTools[0]",
    ],
    [
      "that asks for it hangs on no arguments",
      { method: "GET", target: null, resumes: { method: "tools/call", target: "write" } },
      "allow accessRules[1].allowedTools[0]",
    ],
    [
      "without arguments is decided by that",
      { target: "purge", arguments_hash: hashOf("{}") },
      "allow accessRules[3].allowedTools[0]",
    ],
  ])("%s", (_, differing, expected) => {
    expect(now(differing)).toBe(expected);
  });

  it("names what it named: a server's prefix counts where servers share an address", () => {
    const prefixed = { named_server: "more", target: "echo" };
    expect(now(prefixed)).toBe("allow accessRules[0].allowedTools[0]");
    expect(now(prefixed, never)).toBe("deny default-deny");
    expect(now(prefixed, sole)).toBe("deny default-deny");
    expect(now({ target: "more_echo" })).toBe("allow accessRules[0].allowedTools[0]");
  });

  it("can't be told where its arguments would decide, which are not on record", () => {
    const because = "arguments are not on record";
    expect(now({ target: "write" })).toEqual({ kind: "untold", because, rules: ["accessRules[1].allowedTools[0]"] });
    expect(now({ target: "purge" })).toEqual({ kind: "untold", because, rules: ["accessRules[2].deniedTools[0]"] });
  });

  it("can't be told where it hangs on somebody who was forgotten, and can where it does not", () => {
    const forgotten = "erased-0123456789ab";
    expect(now({ agent_id: forgotten })).toMatchObject({ kind: "untold", because: "the agent was forgotten" });
    expect(now({ agent_id: forgotten, method: "tools/list" })).toBe("allow settings.mcp_enabled");
    expect(now({ agent_id: forgotten, tenant: "gone" })).toBe("deny unknown-tenant");
    expect(now({ target: "find", agent_owner: forgotten })).toMatchObject({
      rules: ["accessRules[4].allowedTools[0]"],
    });
    expect(now({ target: "lookup", auth_user: forgotten })).toMatchObject({ because: "the user was forgotten" });
    expect(now({ agent_owner: forgotten, auth_user: forgotten })).toBe("allow accessRules[0].allowedTools[0]");
    expect(now({ target: "lookup", agent_owner: forgotten })).toBe("deny default-deny");
  });

  it("can't be told where the configuration says another owner, and rules look at the owner", () => {
    const moved = { agent_id: "moved-1", agent_owner: "search" };
    expect(now({ ...moved, target: "find" })).toMatchObject({ kind: "untold", because: /another name or owner/ });
    expect(now({ ...moved, target: "find", auth: "oauth2" })).toBe("allow accessRules[4].allowedTools[0]");
    expect(now({ ...moved, target: "echo" })).toBe("deny default-deny");
  });

  it("says apart what rules in shadow mode would change", () => {
    expect(judge({ target: "read2" })).toMatchObject({
      now: { decision: "allow" },
      shadow: { decision: "deny", rule: "accessRules[7].deniedTools[0]" },
    });
    expect(judge({ target: "read3" })).toMatchObject({ now: { decision: "allow" }, isShadowUntold: true });
  });

  it.each<[string, Partial<RecordedCall>]>([
    ["agent_rate_limited", { decision: "deny", rule: "limits[0]", fault: "agent_rate_limited" }],
    ["session_not_found", { decision: "deny", fault: "session_not_found" }],
    ["tool_quarantined", { decision: "deny", fault: "tool_quarantined" }],
    ["protocol_disabled", { decision: "deny", fault: "protocol_disabled" }],
    ["unavailable, before rules were asked", { decision: "deny", rule: null, fault: "unavailable" }],
    ["under way", { state: "under way", decision: null, rule: null }],
    ["outcome unknown", { state: "outcome unknown", decision: null, rule: null }],
  ])("is not compared where rules did not decide it: %s", (because, differing) => {
    expect(judge(differing)).toEqual({ kind: "uncompared", because });
  });

  it("is compared with what rules said, whatever came of it afterwards", () => {
    expect(judge({ fault: "upstream_failed" })).toMatchObject({ was: allowed });
    const denied = { decision: "deny", rule: "settings.mcp_enabled", fault: "protocol_disabled" } as const;
    expect(judge(denied)).toMatchObject({ was: { decision: "deny" }, now: { decision: "allow" } });
  });
});

describe("B4: what is counted", () => {
  const replay = new Replay(conf);
  const tallied = (calls: readonly Partial<RecordedCall>[], most?: number) => {
    const tally = new Tally(most);
    for (const call of calls.map(recorded)) tally.add(call, replay.judge(call));
    return tally.report();
  };
  const minute = (number: number) => ({ call: `c-${number}`, at: `2026-11-21T10:0${number}:00.000Z` });

  it("puts together what changes alike, with the first and last time and the last call", () => {
    const report = tallied([
      { ...minute(1), target: "drop" },
      minute(2),
      { ...minute(3), target: "drop" },
      { ...minute(4), decision: "deny", rule: "default-deny", fault: "tool_access_denied" },
      { ...minute(5), target: "write" },
      { ...minute(6), state: "under way", decision: null },
      { ...minute(7), method: "tools/list", target: null, rule: "settings.mcp_enabled" },
    ]);
    expect(report).toMatchObject({
      ...{ calls: 7, first: minute(1).at, last: minute(7).at, told: 5, otherwise: 3, newlyDenied: 2, newlyAllowed: 1 },
      ...{ lists: 1, untold: { calls: 1, groups: [{ calls: 1, example: "c-5" }] } },
      uncompared: { calls: 1, reasons: [{ because: "under way", calls: 1 }] },
    });
    expect(report.changed).toEqual([
      {
        ...{ tenant: "acme", was: allowed.rule, now: "accessRules[0].deniedTools[0]", becomes: "deny" },
        ...{ agent: "a-1", method: "tools/call", server: "*", target: "drop", calls: 2 },
        ...{ first: minute(1).at, last: minute(3).at, example: "c-3" },
      },
      expect.objectContaining({ was: "default-deny", now: allowed.rule, becomes: "allow", calls: 1 }),
    ]);
  });

  it("holds no more groups than it may, and still counts every call", () => {
    const calls = Array.from({ length: 50 }, (_, index) => ({ target: `other-${index}` }));
    const { changed, newlyDenied } = tallied([...calls, ...calls], 10);
    expect(newlyDenied).toBe(100);
    expect(changed).toHaveLength(11);
    expect(changed[0]).toMatchObject({ agent: null, target: null, calls: 80 });
  });
});
