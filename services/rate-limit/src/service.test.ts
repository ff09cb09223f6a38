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
  let slots = 0;
  const refused: string[] = [];
  const moved: unknown[] = [];
  const deps: Deps = {
    limits: () => limits,
    instance: "r-1",
    nextSlot: () => `slot-${slots++}`,
    refused: (tenant, rule) => void refused.push(`${tenant} ${rule}`),
    windows: {
      take: (calls) => {
        asked++;
        return local.take(calls);
      },
      give: async (calls, windows) => void given.push({ calls, windows }),
      hold: async (held) => void moved.push({ held }),
      end: async (ended) => void moved.push({ ended }),
    },
    reply: (subject, payload) => void replies.push({ subject, answer: decodeJson(payload) }),
    ignored: (reason) => void ignored.push(reason),
    counted: () => {},
  };
  return { deps, replies, ignored, given, moved, refused, asked: () => asked };
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
    const { deps, replies, asked, refused } = world();
    const calls = [call("x", "ping"), call("slow"), call("slow"), call("x"), call("x"), call("x")];
    await handleAdmission(deps, message({ from: "i", calls }, "box"));
    expect(asked()).toBe(1);
    expect(replies).toMatchObject([
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
    expect(refused).toEqual(["acme limits[1]", "acme limits[0]"]);
  });

  it("tells what is left of each limit that counted the call, and where it was counted; of a refused one, the limit that refused", async () => {
    const { deps, replies } = world();
    await handleAdmission(deps, message({ from: "i", calls: [call("slow"), call("slow")] }, "box"));
    const burst = { policy: '"limits[0]";q=2;w=60;sluice-burst=1', left: 2, seconds: 60 };
    expect(replies).toMatchObject([
      {
        answer: {
          verdicts: [
            {
              counted: { by: "r-1", windows: [{ part: 0 }, { part: 0 }] },
              quotas: [burst, { policy: '"limits[1]";q=1;w=600', left: 0, seconds: 600 }],
            },
            { quotas: [{ policy: '"limits[1]";q=1;w=600', left: 0, seconds: 612 }] },
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

describe("slots", () => {
  it("go the way ingress says: ended or held; what names anything but a slot of ours is refused whole", async () => {
    const { deps, moved, ignored } = world();
    const slot = { id: "i-1", keys: ["gw:rs:a"] };
    await handleGiveBack(deps, message({ ended: [slot], held: [{ ...slot, id: "i-2" }] }));
    expect(moved).toEqual([{ ended: [slot] }, { held: [{ ...slot, id: "i-2" }] }]);
    await handleGiveBack(deps, message({ held: [slot, { id: "i-3", keys: ["gw:rl:a"] }] }));
    expect(moved).toHaveLength(2);
    expect(ignored).toHaveLength(1);
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
