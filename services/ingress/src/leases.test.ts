import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@sluice/bus";
import { decodeJson, subjects, type GiveBack, type Intent, type LimitVerdict } from "@sluice/contracts";
import { startNats, type Part } from "@sluice/launcher";
import { until } from "@sluice/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CountedCalls } from "./counted-calls.ts";
import { Leases } from "./leases.ts";

let dataDir: string;
let nats: Part;
let bus: Bus;
const given: NonNullable<GiveBack["leases"]>[number][] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-leases-"));
  const { NATS_URL: _, ...env } = process.env;
  nats = await startNats({ dataDir, env });
  bus = await Bus.connect({ url: nats.url, service: "ingress" });
  bus.listen(
    subjects.ask("rate-limit", "give"),
    ({ data }) => void given.push(...(decodeJson<GiveBack>(data).leases ?? [])),
  );
  await bus.flush();
}, 120_000);
beforeEach(async () => {
  await bus.flush();
  given.splice(0);
});
afterAll(async () => {
  await bus?.close();
  await nats?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const version = 7;
const intent = (over: Partial<Intent> = {}): Intent => ({
  call: "i-1",
  at: 0,
  label: "mcp_proxy",
  tenant: "acme",
  agent: { id: "a-1" },
  auth: "apiKey",
  protocol: "mcp",
  era: "legacy",
  http: "POST",
  path: "/mcp",
  method: "tools/call",
  server: "main",
  target: "echo",
  trace: "t",
  bytes: 1,
  ...over,
});
const yes = { verdict: { ok: true, rule: "r", leaseMs: 60_000 }, version } as const;
const windows = [{ key: "gw:rl:x", part: 1 }];
const counted = (calls: number): LimitVerdict => ({ ok: true, counted: { windows }, lease: { calls, ms: 60_000 } });
const grant = (
  leases: Leases,
  { calls, of = intent(), versions = version }: { calls?: number; of?: Intent; versions?: number },
) =>
  leases.grant(of, {
    policy: { ...yes, version: versions },
    limit: {
      verdict: calls === undefined ? { ok: true, lease: { ms: 60_000 } } : counted(calls),
      version: versions,
    },
    askedAt: performance.now(),
  });
const world = () => {
  const leases = new Leases(new CountedCalls(bus));
  leases.configure(version);
  return leases;
};
const callsGiven = () => given.reduce((sum, { calls }) => sum + calls, 0);

describe("leases", () => {
  it("hold for the same call of the same agent and for nothing else", () => {
    using leases = world();
    grant(leases, {});
    expect(leases.take(intent({ call: "i-2", bytes: 9 }))).toEqual({
      policy: { ...yes, until: expect.any(Number) },
      limit: { ok: true },
    });
    const others: Partial<Intent>[] = [
      { tenant: "other" },
      { agent: { id: "a-2" } },
      { server: "second" },
      { namedServer: "second" },
      { identity: "the same agent of another owner" },
      { method: "prompts/get" },
      { target: "echo2" },
      { agent: { id: "a-1\0mcp" }, target: "echo" },
    ];
    for (const over of others) expect(leases.take(intent(over))).toEqual({ policy: undefined, limit: undefined });
  });

  it("are used up call by call, and over when their time is", () => {
    using leases = world();
    grant(leases, { calls: 2 });
    const yesWithWindows = { ok: true, counted: { windows } };
    expect([1, 2, 3].map(() => leases.take(intent()).limit)).toEqual([yesWithWindows, yesWithWindows, undefined]);
    const quota = { policy: '"a";q=1000;w=60', left: 700, seconds: 60 };
    leases.grant(intent({ target: "told" }), {
      policy: yes,
      limit: { verdict: { ...counted(3), quotas: [quota] } as LimitVerdict, version },
      askedAt: performance.now(),
    });
    const told = () => leases.take(intent({ target: "told" })).limit?.quotas;
    expect([told(), told()]).toEqual([[{ ...quota, left: 702 }], [{ ...quota, left: 701 }]]);
    leases.grant(intent({ target: "late" }), {
      policy: yes,
      limit: { verdict: counted(5), version },
      askedAt: performance.now() - 60_001,
    });
    expect(leases.take(intent({ target: "late" }))).toEqual({ policy: undefined, limit: undefined });
  });

  it("of another version of the configuration count not at all, and their calls are given back", async () => {
    using leases = world();
    grant(leases, { calls: 3, versions: version - 1 });
    grant(leases, { calls: 4, versions: version + 1 });
    expect(leases.take(intent())).toEqual({ policy: undefined, limit: undefined });
    grant(leases, { calls: 5 });
    leases.configure(version + 1);
    expect(leases.take(intent())).toEqual({ policy: undefined, limit: undefined });
    await until("the calls that were not used", () => callsGiven() === 3 + 4 + 5);
  });

  it("are given back once, however many there are, and what was used is not", async () => {
    const leases = world();
    const kinds = 5_000;
    for (let kind = 0; kind < kinds; kind++) grant(leases, { calls: 2, of: intent({ target: `tool-${kind}` }) });
    for (let kind = 0; kind < kinds; kind++) leases.take(intent({ target: `tool-${kind}` }));
    leases[Symbol.dispose]();
    leases[Symbol.dispose]();
    await bus.flush();
    await until("all that was not used", () => given.length >= kinds);
    expect(callsGiven()).toBe(kinds);
  });
});
