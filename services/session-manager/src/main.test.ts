import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Bus } from "@sluice/bus";
import { decodeJson, encodeJson, subjects, type SessionCreated, sessionNameOf } from "@sluice/contracts";
import { spawnService, startNats, startRedis, type Part, type ServiceProcess } from "@sluice/launcher";

let dataDir: string;
let nats: Part;
let redis: Part;
let bus: Bus;
let service: ServiceProcess | undefined;
const output: string[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-session-manager-"));
  const { NATS_URL: _, REDIS_URL: __, ...env } = process.env;
  [nats, redis] = await Promise.all([
    startNats({ dataDir: join(dataDir, "nats"), env }),
    startRedis({ dataDir: join(dataDir, "redis"), env }),
  ]);
  bus = await Bus.connect({ url: nats.url, service: "control" });
  const ready = Promise.withResolvers<void>();
  service = await spawnService({
    name: "session-manager",
    command: process.execPath,
    args: [fileURLToPath(new URL("./main.ts", import.meta.url))],
    env: {
      PATH: process.env["PATH"],
      NATS_URL: nats.url,
      REDIS_URL: redis.url,
      REDIS_TIMEOUT_MS: "10000",
      LOG_LEVEL: "trace",
    },
    onLine: (line) => {
      output.push(line);
      if (line.includes('"msg":"ready"')) ready.resolve();
    },
  });
  await ready.promise;
}, 120_000);

afterAll(async () => {
  await service?.stop();
  await bus?.close();
  await Promise.all([nats?.stop(), redis?.stop()]);
  await rm(dataDir, { recursive: true, force: true });
});

async function ask<Answer>(subject: string, body: unknown): Promise<Answer> {
  return decodeJson<Answer>(
    (await bus.ask(subject, encodeJson(body), { timeoutMs: 10_000, from: "session-manager" })).data,
  );
}

const admitSession = subjects.admit("mcp", { policy: false, limit: false, session: true });

it("A19: over the bus, a session is admitted for its owner and nobody else, not for another user of the same agent, and its upstream id is never logged", async () => {
  const owner = { tenant: "acme", identity: "sentinel-1", server: "demo" };
  const upstreamSession = "upstream-secret-id";
  const created = await ask<SessionCreated>(subjects.ask("session-manager", "create"), {
    ...owner,
    upstreamSession,
  });
  const session = sessionNameOf(created.session);
  const call = {
    tenant: "acme",
    agent: { id: "sentinel-1" },
    identity: "sentinel-1",
    protocol: "mcp",
    method: "ping",
    server: "demo",
    session,
  };
  const others = [
    { ...call, identity: "another of its users" },
    { ...call, identity: undefined },
  ];
  const calls = [call, ...others, { ...call, session: undefined }];
  const verdicts = [{ ok: true, upstreamSession }, { ok: false }, { ok: false }, { ok: false }];
  expect(await ask(admitSession, { from: "i", calls })).toEqual({ by: "session-manager", verdicts });
  expect(await ask(subjects.ask("session-manager", "end"), { session })).toEqual({});
  expect(await ask(admitSession, { from: "i", calls: [call] })).toMatchObject({
    verdicts: [{ ok: false }],
  });
  expect(await service?.stop("SIGTERM")).toEqual({ code: 0, signal: null });
  expect(output.join("\n")).not.toContain(upstreamSession);
}, 60_000);
