import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bus } from "@sluice/bus";
import { decodeJson, slotRenewMs, subjects, type GiveBack, type LimitVerdict } from "@sluice/contracts";
import { startNats, type Part } from "@sluice/launcher";
import { until } from "@sluice/testing";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { CountedCalls } from "./counted-calls.ts";

let dataDir: string;
let nats: Part;
let bus: Bus;
/** What rate-limit was told, with the replica where it was told to one. */
const told: (GiveBack & { readonly to?: string })[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-counted-"));
  const { NATS_URL: _, ...env } = process.env;
  nats = await startNats({ dataDir, env });
  bus = await Bus.connect({ url: nats.url, service: "ingress" });
  bus.listen(subjects.ask("rate-limit", "give"), ({ data }) => void told.push(decodeJson<GiveBack>(data)));
  bus.listen(subjects.ownRateLimit("r-1"), ({ data }) => void told.push({ ...decodeJson<GiveBack>(data), to: "r-1" }));
  await bus.flush();
}, 120_000);
afterAll(async () => {
  await bus?.close();
  await nats?.stop();
  await rm(dataDir, { recursive: true, force: true });
});
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  told.splice(0);
});
afterEach(() => void vi.useRealTimers());

const slotOf = (id: string) => ({ id, keys: ["gw:rs:k"] });
const inFlight = (id: string, by?: string): LimitVerdict => ({
  ok: true,
  counted: { slot: slotOf(id), ...(by !== undefined && { by }) },
});
const hear = (count: number) => until(`${count} words`, () => told.length >= count);

it("says at once that a call ended, every few seconds that it has not, and of a call that was renewed its end twice", async () => {
  using calls = new CountedCalls(bus);
  const [short, long] = [calls.begin(inFlight("short")), calls.begin(inFlight("long"))];
  calls.end(short);
  await hear(1);
  expect(told.splice(0)).toEqual([{ ended: [slotOf("short")] }]);
  vi.advanceTimersByTime(slotRenewMs);
  await hear(1);
  expect(told.splice(0)).toEqual([{ held: [slotOf("long")] }]);
  calls.end(long);
  calls.end(long);
  await hear(1);
  vi.advanceTimersByTime(slotRenewMs);
  await hear(2);
  expect(told.splice(0)).toEqual([{ ended: [slotOf("long")] }, { ended: [slotOf("long")] }]);
  vi.advanceTimersByTime(3 * slotRenewMs);
  await bus.flush();
  expect(told).toEqual([]);
  expect(calls.size).toBe(0);
});

it("tells the replica that counted by itself, and only what there is to tell", async () => {
  using calls = new CountedCalls(bus);
  const windows = [{ key: "gw:rl:w", part: 1 }];
  calls.giveBack(2, { windows, by: "r-1" });
  calls.giveBack(1, { windows, slot: slotOf("refused") });
  calls.giveBack(3, { windows: [] });
  calls.giveBack(3, undefined);
  expect(calls.begin({ ok: true })).toBeUndefined();
  expect(calls.begin({ ok: true, counted: { windows } })).toBeUndefined();
  calls.end(calls.begin(inFlight("own", "r-1")));
  calls.end(undefined);
  await hear(4);
  expect(told.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))).toEqual([
    { ended: [slotOf("own")], to: "r-1" },
    { ended: [slotOf("refused")] },
    { leases: [{ calls: 1, windows }] },
    { leases: [{ calls: 2, windows }], to: "r-1" },
  ]);
});

it("tells many at once in several messages, what is left when it ends included", async () => {
  const calls = new CountedCalls(bus);
  const slots = Array.from({ length: 250 }, (_, index) => calls.begin(inFlight(`c${index}`)));
  for (const slot of slots) calls.end(slot);
  calls[Symbol.dispose]();
  await hear(3);
  expect(told.map(({ ended }) => ended?.length)).toEqual([100, 100, 50]);
});
