import { describe, expect, it } from "vitest";
import { limitSchema, type Intent, type RateLimitSection } from "@sluice/contracts";
import type { z } from "zod";
import { compileLimits } from "./limits.ts";

const section = (limits: z.input<typeof limitSchema>[], version = 1): RateLimitSection => ({
  version,
  limits: limits.map((limit) => limitSchema.parse(limit)),
});
const call = (over: { tenant?: string; agent?: string; method?: string; target?: string }): Intent =>
  ({
    tenant: over.tenant ?? "acme",
    agent: { id: over.agent ?? "sentinel-1" },
    protocol: "mcp",
    method: over.method ?? "tools/call",
    ...(over.target !== undefined && { target: over.target }),
  }) as Intent;
const takes = (limits: z.input<typeof limitSchema>[], over: Parameters<typeof call>[0] = {}) =>
  compileLimits(new Map([["acme", section(limits)]])).takesOf(call(over));

const seed = { path: "/mcp/tools/call", maxRequests: 60, windowSeconds: 60, burstAllowance: 10 };

describe("limits of a call", () => {
  it("are those whose path, agent pattern and tool pattern fit, with the burst on top", () => {
    expect(takes([seed])).toMatchObject([{ rule: "limits[0]", limit: 70, windowMs: 60_000 }]);
    expect(takes([seed], { method: "tools/list" })).toEqual([]);
    expect(takes([seed], { tenant: "other" })).toEqual([]);
    expect(takes([{ ...seed, agentPattern: "alchemy-*" }])).toEqual([]);
    const byTool = [seed, { ...seed, tool: "delete_*" }];
    expect(takes(byTool, { target: "delete_all" }).map(({ rule }) => rule)).toEqual(["limits[0]", "limits[1]"]);
    expect(takes(byTool, { target: "read" }).map(({ rule }) => rule)).toEqual(["limits[0]"]);
    expect(takes(byTool).map(({ rule }) => rule)).toEqual(["limits[0]"]);
  });

  it("have a window per agent, and per tool where the limit names tools", () => {
    const keyOf = (limit: z.input<typeof limitSchema>, over: Parameters<typeof call>[0]) =>
      takes([limit], over)[0]?.key;
    const byTool = { ...seed, tool: "*" };
    expect(keyOf(seed, { agent: "a" })).not.toBe(keyOf(seed, { agent: "b" }));
    expect(keyOf(seed, { target: "x" })).toBe(keyOf(seed, { target: "y" }));
    expect(keyOf(byTool, { target: "x" })).not.toBe(keyOf(byTool, { target: "y" }));
    expect(keyOf(byTool, { agent: "a", target: "b:c" })).not.toBe(keyOf(byTool, { agent: "a:b", target: "c" }));
    expect(keyOf(byTool, { target: "\ud800" })).not.toBe(keyOf(byTool, { target: "\ud801" }));
  });

  it("have windows per tenant", () => {
    const limits = compileLimits(
      new Map([
        ["acme", section([seed])],
        ["other", section([seed], 4)],
      ]),
    );
    expect(limits.version).toBe(4);
    expect(limits.takesOf(call({}))[0]?.key).not.toBe(limits.takesOf(call({ tenant: "other" }))[0]?.key);
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

  it("have keys that are short and show nothing of what agents sent", () => {
    const [take] = takes([{ ...seed, tool: "*" }], { target: `secret ${"x".repeat(2_000)}` });
    expect(take?.key).toMatch(/^gw:rl:[A-Za-z0-9_-]{43}$/);
  });
});
