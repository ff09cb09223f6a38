import { describe, expect, it } from "vitest";
import { decodeJson, encodeJson, type RateLimitSection } from "@sluice/contracts";
import { compileLimits } from "./limits.ts";
import { handleAdmission, handleGiveBack, type Deps } from "./service.ts";
import { LocalWindows } from "./windows-local.ts";
import { leasing } from "./windows.ts";

const section: RateLimitSection = {
  version: 2,
  limits: [
    { path: "/mcp/tools/call", agentPattern: "*", maxRequests: 2, windowSeconds: 60, burstAllowance: 1 },
    { path: "/mcp/tools/call", tool: "slow", agentPattern: "*", maxRequests: 1, windowSeconds: 600, burstAllowance: 0 },
  ],
};

function world() {
  const replies: unknown[] = [];
  const ignored: string[] = [];
  const given: unknown[] = [];
  let asked = 0;
  const limits = compileLimits(new Map([["acme", section]]));
  const local = new LocalWindows({ now: () => 0 });
  const deps: Deps = {
    limits: () => limits,
    windows: {
      take: (calls) => {
        asked++;
        return local.take(calls);
      },
      give: async (calls, windows) => void given.push({ calls, windows }),
    },
    reply: (subject, payload) => void replies.push({ subject, answer: decodeJson(payload) }),
    ignored: (reason) => void ignored.push(reason),
    counted: () => {},
  };
  return { deps, replies, ignored, given, asked: () => asked };
}

const unlimited = { ok: true, lease: { ms: leasing.maxMs } };
const call = (target: string, method = "tools/call") => ({
  tenant: "acme",
  agent: { id: "a" },
  protocol: "mcp",
  server: "main",
  method,
  target,
});
const message = (body: unknown, reply?: string) => ({
  subject: "gw.admit.v1.mcp.policy.limit.-",
  data: body instanceof Uint8Array ? body : encodeJson(body),
  ...(reply !== undefined && { reply }),
});

describe("admission", () => {
  it("decides a batch in order, asking the windows once; a call that one limit refuses uses up no other", async () => {
    const { deps, replies, asked } = world();
    const calls = [call("x", "ping"), call("slow"), call("slow"), call("x"), call("x"), call("x")];
    await handleAdmission(deps, message({ from: "i", calls }, "box"));
    expect(asked()).toBe(1);
    expect(replies).toEqual([
      {
        subject: "box",
        answer: {
          by: "rate-limit",
          version: 2,
          verdicts: [
            unlimited,
            { ok: true },
            { ok: false, rule: "limits[1]", retryAfterSeconds: 612 },
            { ok: true },
            { ok: true },
            { ok: false, rule: "limits[0]", retryAfterSeconds: 62 },
          ],
        },
      },
    ]);
  });

  it("does not ask the windows where no limit applies", async () => {
    const { deps, replies, asked } = world();
    await handleAdmission(deps, message({ from: "i", calls: [call("x", "tools/list")] }, "box"));
    expect(asked()).toBe(0);
    expect(replies).toEqual([{ subject: "box", answer: { by: "rate-limit", version: 2, verdicts: [unlimited] } }]);
  });

  it("leaves unanswered what nobody waits for and what is no admission request", async () => {
    const { deps, replies, ignored } = world();
    await handleAdmission(deps, message({ from: "i", calls: [call("x")] }));
    for (const body of [{}, { calls: [] }, Buffer.from("{")]) await handleAdmission(deps, message(body, "box"));
    expect(replies).toEqual([]);
    expect(ignored).toHaveLength(4);
  });
});

describe("calls given back", () => {
  it("go to their windows; what names anything but a window of ours is refused whole", async () => {
    const { deps, ignored, given } = world();
    const windows = [{ key: "gw:rl:a", part: 7 }];
    await handleGiveBack(deps, message({ leases: [{ calls: 3, windows }] }));
    expect(given).toEqual([{ calls: 3, windows }]);
    const bad = [
      { calls: 1, windows: [{ key: "gw:sessions:a", part: 7 }] },
      { calls: -1, windows },
      { calls: 1.5, windows },
      { calls: 1, windows: [{ key: "gw:rl:a", part: "t" }] },
    ];
    for (const lease of bad) await handleGiveBack(deps, message({ leases: [{ calls: 1, windows }, lease] }));
    expect(given).toHaveLength(1);
    expect(ignored).toHaveLength(bad.length);
  });
});
