import { describe, expect, it } from "vitest";
import { a2aMethodNames, limitSchema, type Intent, type RateLimitSection } from "@sluice/contracts";
import type { z } from "zod";
import { compileLimits } from "./limits.ts";

const section = (limits: z.input<typeof limitSchema>[], version = 1): RateLimitSection => ({
  version,
  limits: limits.map((limit) => limitSchema.parse(limit)),
});
interface Over {
  readonly tenant?: string;
  readonly agent?: string;
  readonly owner?: string;
  readonly method?: string;
  readonly protocol?: Intent["protocol"];
  readonly target?: string;
  readonly server?: string;
  readonly namedServer?: string;
}
const call = ({ agent, owner, ...over }: Over): Intent =>
  ({
    tenant: "acme",
    agent: { id: agent ?? "sentinel-1", ...(owner !== undefined && { owner }) },
    protocol: "mcp",
    server: "main",
    method: "tools/call",
    ...over,
  }) as Intent;
const slot = () => "slot-1";
const takes = (limits: z.input<typeof limitSchema>[], over: Over = {}) =>
  compileLimits(new Map([["acme", section(limits)]])).takesOf(call(over), slot);
const keyOf = (limit: z.input<typeof limitSchema>, over: Over) => takes([limit], over)[0]?.key;

const seed = { path: "/mcp/tools/call", maxRequests: 60, windowSeconds: 60, burstAllowance: 10 };

describe("limits of a call", () => {
  it("are those whose path, agent pattern and tool pattern fit, with the burst on top", () => {
    expect(takes([seed])).toMatchObject([{ rule: "limits[0]", limit: 70, windowMs: 60_000, sustained: 60 }]);
    expect(takes([{ ...seed, burstAllowance: 0 }])[0]).not.toHaveProperty("sustained");
    expect(takes([seed], { method: "tools/list" })).toEqual([]);
    expect(takes([seed], { tenant: "other" })).toEqual([]);
    expect(takes([{ ...seed, agentPattern: "alchemy-*" }])).toEqual([]);
    const byTool = [seed, { ...seed, tool: "delete_*" }];
    expect(new Set(takes(byTool, { target: "delete_all" }).map(({ rule }) => rule))).toEqual(
      new Set(["limits[0]", "limits[1]"]),
    );
    expect(takes(byTool, { target: "read" }).map(({ rule }) => rule)).toEqual(["limits[0]"]);
    expect(takes(byTool).map(({ rule }) => rule)).toEqual(["limits[0]"]);
  });

  it("have a window per agent, and per tool where the limit names tools", () => {
    const byTool = { ...seed, tool: "*" };
    expect(keyOf(seed, { agent: "a" })).not.toBe(keyOf(seed, { agent: "b" }));
    expect(keyOf(seed, { target: "x" })).toBe(keyOf(seed, { target: "y" }));
    expect(keyOf(byTool, { target: "x" })).not.toBe(keyOf(byTool, { target: "y" }));
    expect(keyOf(byTool, { agent: "a", target: "b:c" })).not.toBe(keyOf(byTool, { agent: "a:b", target: "c" }));
    expect(keyOf(byTool, { target: "\ud800" })).not.toBe(keyOf(byTool, { target: "\ud801" }));
  });

  it("by A2A are the same whatever name of an operation they say, and a pattern of servers fits agents' names", () => {
    for (const [operation, names] of Object.entries(a2aMethodNames))
      for (const name of names) {
        const over = { protocol: "a2a" as const, method: operation, server: "planner" };
        const limit = { ...seed, path: `/a2a/${name}`, server: "plan*" };
        const same = { ...limit, path: `/a2a/${operation}` };
        expect([name, keyOf(limit, over)]).toEqual([name, keyOf(same, over)]);
        expect(takes([limit, { ...limit, maxConcurrent: 2 }], over)).toHaveLength(3);
        expect(takes([limit], { ...over, server: "coder" })).toEqual([]);
        expect(takes([limit], { ...over, protocol: "mcp" })).toEqual([]);
        expect(takes([limit], { ...over, method: "other" })).toEqual([]);
      }
    expect(keyOf({ ...seed, path: "/mcp/tasks/get" }, { method: "tasks/get" })).toBeDefined();
    expect(takes([{ ...seed, path: "/mcp/tasks/get" }], { method: "GetTask" })).toEqual([]);
  });

  it("have windows per tenant", () => {
    const limits = compileLimits(
      new Map([
        ["acme", section([seed])],
        ["other", section([seed], 4)],
      ]),
    );
    expect(limits.version).toBe(4);
    const [own, others] = [call({}), call({ tenant: "other" })].map((each) => limits.takesOf(each, slot)[0]?.key);
    expect(own).not.toBe(others);
  });

  it("keep their windows when they are raised or moved, and never share one with another limit", () => {
    const hour = { ...seed, windowSeconds: 3_600 };
    const [before] = takes([seed]);
    const [other, after] = takes([hour, { ...seed, maxRequests: 5 }]);
    expect(after?.key).toBe(before?.key);
    expect(other?.key).not.toBe(before?.key);
    const twice = takes([seed, seed]).map(({ key }) => key);
    expect(new Set(twice).size).toBe(2);
  });

  it("have windows per owner or per tenant where they say so, in seed 001's spelling too; an agent without an owner is its own", () => {
    const [a, b] = [{ agent: "a" }, { agent: "b" }];
    const byTenant = { ...seed, per: "tenant" as const };
    const byOwner = { ...seed, per: "owner" as const };
    expect(keyOf(byTenant, a)).toBe(keyOf(byTenant, b));
    expect(keyOf(byOwner, { ...a, owner: "o" })).toBe(keyOf(byOwner, { ...b, owner: "o" }));
    expect(keyOf(byOwner, { ...a, owner: "o" })).not.toBe(keyOf(byOwner, { ...b, owner: "p" }));
    expect(keyOf(byOwner, a)).not.toBe(keyOf(byOwner, b));
    expect(keyOf(byOwner, { owner: "a" })).not.toBe(keyOf(byOwner, a));
    const selector = `#[attributes.headers['x-verified-agent-id']]`;
    expect(keyOf({ ...seed, keySelector: selector }, a)).toBe(keyOf(seed, a));
    expect(keyOf({ ...seed, per: "agent", keySelector: selector.replaceAll("'", '"') }, a)).toBe(keyOf(seed, a));
    expect(keyOf({ ...seed, keySelector: selector.replace("-id", "-owner") }, { ...a, owner: "o" })).toBe(
      keyOf(byOwner, { ...b, owner: "o" }),
    );
  });

  it("of a server count its calls, and at the address of all those that may be its", () => {
    const limit = { ...seed, server: "pat*" };
    const counts = (server: string, namedServer?: string) =>
      takes([limit], { server, ...(namedServer !== undefined && { namedServer }) }).length > 0;
    expect(counts("patterns")).toBe(true);
    expect(counts("main")).toBe(false);
    expect(counts("*")).toBe(true);
    expect(counts("*", "patterns")).toBe(true);
    expect(counts("*", "main")).toBe(false);
    expect(keyOf(limit, { server: "patterns" })).toBe(keyOf(limit, { server: "*" }));
  });

  it("of calls in flight have slots, one name for all of a call; beside a window or alone", () => {
    let names = 0;
    const both = { path: seed.path, maxRequests: 5, windowSeconds: 60, maxConcurrent: 2, name: "slow" };
    const limits = compileLimits(
      new Map([["acme", section([both, { path: seed.path, per: "tenant", maxConcurrent: 9 }])]]),
    );
    expect(limits.takesOf(call({}), () => `s${names++}`)).toMatchObject([
      { rule: "slow", limit: 5, policy: '"slow";q=5;w=60' },
      { rule: "slow", slot: "s0", maxConcurrent: 2, policy: '"slow:concurrent";q=2;qu="concurrent-requests"' },
      { rule: "limits[1]", slot: "s0", maxConcurrent: 9, policy: '"limits[1]";q=9;qu="concurrent-requests"' },
    ]);
    expect(names).toBe(1);
  });

  it("by a pattern of tools bound how many tools' windows one agent can begin; a tool that is named has its own", () => {
    const [window, bound, ...rest] = takes([{ ...seed, tool: "*" }], { target: "x" });
    expect(rest).toEqual([]);
    expect(bound).toMatchObject({ ifNew: true, limit: 1_000, windowMs: 60_000, rule: "limits[0]" });
    expect(bound?.key).toBe(takes([{ ...seed, tool: "*" }], { target: "y" })[1]?.key);
    expect(bound?.key).not.toBe(window?.key);
    expect(takes([{ ...seed, tool: "x" }], { target: "x" })).toHaveLength(1);
  });

  it("have keys that are short and show nothing of what agents sent", () => {
    const [take] = takes([{ ...seed, tool: "*" }], { target: `secret ${"x".repeat(2_000)}` });
    expect(take?.key).toMatch(/^gw:rl:[A-Za-z0-9_-]{43}$/);
  });
});
