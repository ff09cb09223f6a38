import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Bus, ensureTopology, publishSections, type AllSections } from "@sluice/bus";
import { decodeJson, encodeJson, subjects, type FilterAnswer } from "@sluice/contracts";
import { spawnService, startNats, type Part, type ServiceProcess } from "@sluice/launcher";

let dataDir: string;
let nats: Part;
let bus: Bus;
let policy: ServiceProcess | undefined;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-policy-"));
  const { NATS_URL: _, ...env } = process.env;
  nats = await startNats({ dataDir, env });
  bus = await Bus.connect({ url: nats.url, service: "control" });
  await ensureTopology(bus, {
    replicas: 1,
    trailMaxBytes: 64 << 20,
    trailMaxAgeMs: 3_600_000,
    auditMaxBytes: 10_000_000,
    repliesMaxBytes: 10_000_000,
    repliesMaxAgeMs: 60_000,
    pushMaxBytes: 1 << 24,
    pushMaxWaiting: 16,
  });
}, 120_000);

afterAll(async () => {
  await policy?.stop();
  await bus?.close();
  await nats?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const sections = (allowedTools: string[], version: number): AllSections => ({
  ingress: new Map(),
  "rate-limit": new Map(),
  egress: new Map(),
  audit: new Map(),
  policy: new Map([
    [
      "acme",
      {
        version,
        mcpEnabled: true,
        hideDenied: false,
        accessRules: [{ agentPattern: "*", allowedTools, deniedTools: [] }],
      },
    ],
  ]),
});

async function visible(...names: string[]): Promise<readonly boolean[]> {
  const question = encodeJson({
    tenant: "acme",
    agent: { id: "a" },
    protocol: "mcp",
    server: "s",
    kind: "tools",
    names,
  });
  const answer = await bus.ask(subjects.ask("policy", "filter"), question, { timeoutMs: 10_000 });
  return decodeJson<FilterAnswer>(answer.data).keep;
}

it("answers nothing before it read its rules, then by the rules, and follows their changes; SIGTERM ends it cleanly", async () => {
  const lines = new Map<string, PromiseWithResolvers<void>>();
  const logged = (text: string) => {
    const waiting = lines.get(text) ?? Promise.withResolvers<void>();
    lines.set(text, waiting);
    return waiting.promise;
  };
  const alive = Promise.withResolvers<void>();
  bus.listen(subjects.aliveAll("policy"), () => alive.resolve());
  await bus.flush();
  policy = await spawnService({
    name: "policy",
    command: process.execPath,
    args: [fileURLToPath(new URL("./main.ts", import.meta.url))],
    env: { PATH: process.env["PATH"], NATS_URL: nats.url },
    onLine: (line) => {
      for (const [text, waiting] of lines) if (line.includes(text)) waiting.resolve();
    },
  });
  await alive.promise;
  await expect(visible("read")).rejects.toThrow(/not running/);

  const ready = logged('"msg":"ready"');
  await publishSections(bus, 1, sections(["read"], 1));
  await ready;
  expect(await visible("read", "write")).toEqual([true, false]);

  const changed = logged('"version":2');
  await publishSections(bus, 2, sections(["write"], 2));
  await changed;
  expect(await visible("read", "write")).toEqual([false, true]);

  expect(await policy.stop("SIGTERM")).toEqual({ code: 0, signal: null });
}, 60_000);
