import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Bus, ensureTopology, publishSections } from "@sluice/bus";
import {
  decodeJson,
  encodeJson,
  limitSchema,
  subjects,
  type AdmissionAnswer,
  type LimitVerdict,
} from "@sluice/contracts";
import { spawnService, startNats, startRedis, type Part, type ServiceProcess } from "@sluice/launcher";

let dataDir: string;
let nats: Part;
let redis: Part;
let bus: Bus;
const replicas: ServiceProcess[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-rate-limit-"));
  const { NATS_URL: _, REDIS_URL: __, ...env } = process.env;
  [nats, redis] = await Promise.all([
    startNats({ dataDir: join(dataDir, "nats"), env }),
    startRedis({ dataDir: join(dataDir, "redis"), env }),
  ]);
  bus = await Bus.connect({ url: nats.url, service: "control" });
  await ensureTopology(bus, {
    replicas: 1,
    trailMaxBytes: 64 << 20,
    trailMaxAgeMs: 3_600_000,
    auditMaxBytes: 100_000_000,
    repliesMaxBytes: 10_000_000,
    repliesMaxAgeMs: 60_000,
    pushMaxBytes: 8 << 20,
    pushMaxWaiting: 100,
  });
  const limits = [
    limitSchema.parse({ path: "/mcp/tools/call", maxRequests: 90, burstAllowance: 10, windowSeconds: 600 }),
  ];
  const section = new Map([["acme", { version: 1, limits }]]);
  await publishSections(bus, 1, {
    ingress: new Map(),
    policy: new Map(),
    egress: new Map(),
    audit: new Map(),
    "rate-limit": section,
  });
}, 120_000);

afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.stop()));
  await bus?.close();
  await Promise.all([nats?.stop(), redis?.stop()]);
  await rm(dataDir, { recursive: true, force: true });
});

async function startReplica(redisTimeoutMs = 10_000): Promise<ServiceProcess> {
  const ready = Promise.withResolvers<void>();
  const replica = await spawnService({
    name: "rate-limit",
    command: process.execPath,
    args: [fileURLToPath(new URL("./main.ts", import.meta.url))],
    env: {
      PATH: process.env["PATH"],
      NATS_URL: nats.url,
      REDIS_URL: redis.url,
      REDIS_TIMEOUT_MS: String(redisTimeoutMs),
    },
    onLine: (line) => {
      if (line.includes('"msg":"ready"')) ready.resolve();
    },
  });
  replicas.push(replica);
  await ready.promise;
  return replica;
}

/** Asks as ingress does; the stream that captures the subject answers too, and that is not waited for here. */
function admit(agent: string): Promise<LimitVerdict> {
  const { promise, resolve, reject } = Promise.withResolvers<LimitVerdict>();
  const waiting = bus.inbox.open({
    from: "rate-limit",
    timeoutMs: 20_000,
    onFailure: reject,
    onMessage: (message) => {
      const answer = decodeJson<Partial<AdmissionAnswer>>(message.data);
      if (answer.by !== "rate-limit" || answer.verdicts?.[0] === undefined) return;
      waiting.close();
      resolve(answer.verdicts[0] as LimitVerdict);
    },
  });
  const calls = [
    { tenant: "acme", agent: { id: agent }, protocol: "mcp", server: "main", method: "tools/call", target: "t" },
  ];
  bus.tell(subjects.admit("mcp", { policy: false, limit: true, session: false }), encodeJson({ from: "i", calls }), {
    reply: waiting.subject,
  });
  return promise;
}

it("A28: of 500 parallel calls, decided by 3 replicas, exactly the limit of 100 passes", async () => {
  await Promise.all([startReplica(), startReplica(), startReplica()]);
  const verdicts = await Promise.all(Array.from({ length: 500 }, () => admit("a28")));
  expect(verdicts.filter(({ ok }) => ok)).toHaveLength(100);
  for (const verdict of verdicts) if (!verdict.ok) expect(verdict.retryAfterSeconds).toBeGreaterThanOrEqual(1);
}, 60_000);

it("a replica that is stopped under load answers everything that reached it", async () => {
  const [first] = replicas;
  const before = Array.from({ length: 300 }, (_, index) => admit(`load-${index}`));
  const stopped = first?.stop("SIGTERM");
  const during = Array.from({ length: 300 }, (_, index) => admit(`load-${index}`));
  const verdicts = await Promise.all([...before, ...during]);
  expect(verdicts.every(({ ok }) => ok)).toBe(true);
  expect(await stopped).toEqual({ code: 0, signal: null });
}, 60_000);

it("A39: replicas that start while Redis is away grant no more than the limit together, before they heard of each other too", async () => {
  await Promise.all(replicas.splice(0).map((replica) => replica.stop("SIGKILL")));
  await redis.kill("SIGKILL");
  await Promise.all(Array.from({ length: 3 }, () => startReplica(100)));
  const verdicts = await Promise.all(Array.from({ length: 500 }, () => admit("unheard")));
  const passed = verdicts.filter(({ ok }) => ok).length;
  expect(passed).toBeGreaterThan(0);
  expect(passed).toBeLessThanOrEqual(100);
}, 60_000);
