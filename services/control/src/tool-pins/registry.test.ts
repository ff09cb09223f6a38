import { mkdtemp, rm } from "node:fs/promises";
import { hash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Bus, ensureTopology, permissionsOf, ToolPinStore, watchToolPins, type KeptPin } from "@sluice/bus";
import { Fault, isApproved, type Action, type ObservedDefinition, type ToolPin } from "@sluice/contracts";
import { startNats, type Part } from "@sluice/launcher";
import { createLog } from "@sluice/telemetry";
import { until } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ToolRegistry } from "./registry.ts";

let dir: string;
let nats: Part;
const buses: Bus[] = [];
const recorded: Action[] = [];
let refuses = false;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-pins-"));
  nats = await startNats({ dataDir: join(dir, "nats") });
  for (let index = 0; index < 3; index++) buses.push(await Bus.connect({ url: nats.url, service: "control" }));
  const mebibyte = 1024 ** 2;
  await ensureTopology(busAt(0), {
    replicas: 1,
    trailMaxBytes: 64 << 20,
    trailMaxAgeMs: 3_600_000,
    auditMaxBytes: mebibyte,
    repliesMaxBytes: mebibyte,
    repliesMaxAgeMs: 1_000,
    pushMaxBytes: 1 << 24,
    pushMaxWaiting: 16,
  });
});
afterAll(async () => {
  for (const bus of buses) await bus.close();
  await nats?.stop();
  await rm(dir, { recursive: true, force: true });
});

const busAt = (index: number): Bus => buses[index] as Bus;
const registryAt = (index: number) =>
  new ToolRegistry({
    store: () => ToolPinStore.open(busAt(index)),
    log: createLog("test", "fatal"),
    now: Date.now,
    record: async (events) => {
      if (refuses) throw new Fault("unavailable", "no room");
      recorded.push(...events);
      await Promise.resolve();
    },
  });

function definition(tool: string, text: string): ObservedDefinition {
  return { tool, hash: hash("sha256", text, "hex"), text: gzipSync(text).toString("base64") };
}

const seen = (server: string, definitions: ObservedDefinition[], trustsFirstSight = true) => ({
  tenant: "t",
  server,
  isWhole: true,
  trustsFirstSight,
  definitions,
});
const states = (pins: readonly { pin: ToolPin }[]) => pins.map(({ pin }) => pin.definitions.map(({ state }) => state));

describe("what replicas of control put on record at the same time", () => {
  it("is there once: one pin for each tool, one event for each definition", async () => {
    const many = Array.from({ length: 200 }, (_, index) => definition(`tool-${index}`, `{"n":${index}}`));
    const answers = await Promise.all([0, 1, 2].map((index) => registryAt(index).observe(seen("s1", many))));
    const store = await ToolPinStore.open(busAt(0));
    expect(await store.count("t", "s1")).toBe(200);
    expect(new Set(states(await store.all("t", "s1")).map(String))).toEqual(new Set(["approved"]));
    for (const answer of answers) expect(answer).toHaveLength(200);
    const ofServer = recorded.filter(({ server }) => server === "s1");
    expect(new Set(ofServer.map(({ id }) => id))).toHaveLength(200);
  });

  it("keeps apart what they saw differently: the second waits", async () => {
    await Promise.all([
      registryAt(0).observe(seen("s2", [definition("x", '{"v":1}')])),
      registryAt(1).observe(seen("s2", [definition("x", '{"v":2}')])),
    ]);
    const store = await ToolPinStore.open(busAt(0));
    expect(states(await store.all("t", "s2"))).toEqual([["approved", "pending"]]);
  });

  it("reaches every watcher, and what is new after first sight waits", async () => {
    const heard = new Map<string, KeptPin>();
    const watch = await watchToolPins(busAt(2), {
      onBegin: () => {},
      onSeen: () => {},
      onPin: ({ server }, kept) => void heard.set(`${server}/${kept.pin.tool}`, kept),
    });
    const changed = definition("tool-7", '{"n":"changed"}');
    await registryAt(0).observe({ ...seen("s1", [changed, definition("late", "{}")]), isWhole: false });
    await until("the change is heard", () => isApproved(heard.get("s1/tool-7")?.pin, changed.hash) === false);
    await until("the new one is heard", () => heard.get("s1/late")?.pin.definitions[0]?.state === "pending");
    expect(heard.size).toBe(202);
    await watch[Symbol.asyncDispose]();
  });
});

describe("what is observed", () => {
  it("is kept as text under its own hash only, and without text where that is another's", async () => {
    const honest = definition("a", '{"name":"a"}');
    const forged = { ...definition("b", '{"name":"b"}'), text: honest.text ?? "" };
    const broken = { ...definition("c", '{"name":"c"}'), text: "bm8gZ3ppcA==" };
    await registryAt(0).observe(seen("s3", [honest, forged, broken]));
    const store = await ToolPinStore.open(busAt(0));
    const place = { tenant: "t", server: "s3" };
    expect(await store.text(place, honest.hash)).toEqual(new Uint8Array(Buffer.from(honest.text ?? "", "base64")));
    expect(await store.text(place, forged.hash)).toBeUndefined();
    expect(await store.text(place, broken.hash)).toBeUndefined();
    expect(await store.count("t", "s3")).toBe(3);
  });

  it("does not come into force where the audit trail does not take it", async () => {
    refuses = true;
    await expect(registryAt(0).observe(seen("s4", [definition("a", "{}")]))).rejects.toThrow(/no room/);
    const store = await ToolPinStore.open(busAt(0));
    expect(await store.count("t", "s4")).toBe(0);
    expect(await store.isSeen({ tenant: "t", server: "s4" })).toBe(false);
    refuses = false;
    expect(states(await registryAt(0).observe(seen("s4", [definition("a", "{}")])))).toEqual([["approved"]]);
  });

  it("is not trusted at first sight where an operator has to approve", async () => {
    expect(states(await registryAt(0).observe(seen("s5", [definition("a", "{}")], false)))).toEqual([["pending"]]);
    expect(states(await registryAt(0).observe(seen("s5", [definition("b", "{}")])))).toEqual([["pending"]]);
  });
});

describe("NATS", () => {
  it("lets egress read pins, and write neither pins nor definitions", () => {
    const { publish } = permissionsOf("egress");
    expect(publish.filter((subject) => subject.startsWith("$KV."))).toEqual([]);
    expect(publish.filter((subject) => subject.includes("tool-definitions"))).toEqual([]);
    for (const service of ["ingress", "policy", "rate-limit", "session-manager", "audit"] as const)
      expect(permissionsOf(service).publish.filter((subject) => /tool-|observe/.test(subject))).toEqual([]);
  });
});
