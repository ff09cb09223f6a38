import { appendFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { stringify } from "yaml";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

type AuditRecord = Record<string, unknown> & { readonly id: string };

const token = "canary-of-a-destination-0123456789";
const stack = new AsyncDisposableStack();
let house: TestHouse;
let fileDir: string;
let siem: Collector;
let lake: Collector;
let operations: Collector;

/** A customer's server for audit events. */
class Collector implements AsyncDisposable {
  readonly #server: FakeUpstream;
  readonly bodies: string[] = [];
  /** Decides, once a body is here, which status it gets. */
  answer: (body: string) => number | Promise<number> = () => 200;

  private constructor(server: FakeUpstream) {
    this.#server = server;
  }

  static async start(): Promise<Collector> {
    const server = await FakeUpstream.start();
    const collector = new Collector(server);
    server.handler = async ({ body }, response) => {
      const status = await collector.answer(body.toString());
      if (status === 200) collector.bodies.push(body.toString());
      response.writeHead(status).end();
    };
    return collector;
  }

  get url(): string {
    return new URL("/v1/agent-events", this.#server.url).href;
  }

  get requests() {
    return this.#server.requests;
  }

  get records(): AuditRecord[] {
    return this.bodies.flatMap((body) => JSON.parse(body) as AuditRecord[]);
  }

  /** Each once. */
  get calls(): AuditRecord[] {
    const calls = this.records.filter(({ type }) => type === "call");
    return [...new Map(calls.map((record) => [record.id, record])).values()];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server[Symbol.asyncDispose]();
  }
}

const destinations = () => [
  {
    ...{ type: "http", name: "siem", url: siem.url, from: "start", batchSize: 5, flushIntervalMs: 200 },
    headers: { Authorization: "${env:SIEM_TOKEN}" },
  },
  { type: "http", name: "lake", url: lake.url, from: "start", flushIntervalMs: 200, format: "structured-json" },
  { type: "file", name: "disk", path: "audit.jsonl", from: "start", flushIntervalMs: 200 },
];

async function configure(upstream: FakeUpstream, start: boolean): Promise<void> {
  const acme = {
    agents: ["a-1"],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"], deniedTools: ["forbidden"] }],
    audit: { destinations: destinations() },
  };
  if (start) {
    house = stack.use(
      await startTestHouse({
        tenants: { acme },
        envOf: { audit: { SIEM_TOKEN: token, AUDIT_FILE_DIR: fileDir } },
      }),
    );
  }
  await appendFile(
    join(house.confDir, "tenants.yaml"),
    stringify({ audit: { destinations: [{ type: "http", name: "operations", url: operations.url, from: "start" }] } }),
  );
}

beforeAll(async () => {
  fileDir = await mkdtemp(join(tmpdir(), "sluice-audit-files-"));
  stack.defer(() => rm(fileDir, { recursive: true, force: true }));
  const upstream = stack.use(await FakeUpstream.start());
  [siem, lake, operations] = await Promise.all([Collector.start(), Collector.start(), Collector.start()]);
  for (const collector of [siem, lake, operations]) stack.use(collector);
  await configure(upstream, true);
});
afterAll(() => stack.disposeAsync());

beforeEach(() => {
  siem.answer = () => 200;
});

let calls = 0;
/** Names of tools, each called once, and never again. */
async function makeCalls(count: number, what = "tool"): Promise<string[]> {
  const names = Array.from({ length: count }, () => `${what}-${calls++}`);
  for (const name of names)
    await send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall(name) });
  return names;
}

const toolsAt = (collector: Collector) => collector.calls.map(({ toolName }) => String(toolName));
const untilAt = (collector: Collector, names: readonly string[], timeoutMs?: number) =>
  until(
    `${names.length} calls`,
    () => {
      const there = new Set(toolsAt(collector));
      return names.every((name) => there.has(name));
    },
    timeoutMs,
  );
async function audit(path: string): Promise<string> {
  const [replica] = house.house.of("audit");
  return (await send(`${replica?.health ?? ""}${path}`, { method: "GET" })).text;
}

describe("destinations of the audit trail", () => {
  it("each attempt is one record, whole, at each of them, done or refused; the log of the gateway has its own", async () => {
    const done = await makeCalls(7);
    await send(`${house.house.url}/mcp`, { headers: as(house.key("a-1")), body: toolCall("forbidden") });
    await Promise.all([untilAt(siem, [...done, "forbidden"]), untilAt(lake, [...done, "forbidden"])]);
    expect(toolsAt(siem).toSorted()).toEqual([...done, "forbidden"].toSorted());
    expect(siem.calls.find(({ toolName }) => toolName === done[0])).toMatchObject({
      ...{ log: "acme", state: "done", agentId: "a-1", agentName: "Agent a-1", agentOwner: "tests", status: 200 },
      ...{ protocolMethod: "tools/call", decision: "allow", server: "main" },
      ...{ timestamp: expect.stringMatching(/Z$/), correlationId: expect.any(String), duration: expect.any(Number) },
    });
    expect(siem.calls.find(({ toolName }) => toolName === "forbidden")).toMatchObject({ decision: "deny" });
    const [request] = siem.requests;
    expect(request?.headers["authorization"]).toBe(token);
    const lines = await until("the file", async () => {
      const text = await readFile(join(fileDir, "acme/audit.jsonl"), "utf8").catch(() => "");
      const read = text.trimEnd().split("\n");
      return read.filter((line) => line.includes('"type":"call"')).length === 8 ? read : undefined;
    });
    expect(lines.map((line) => (JSON.parse(line) as AuditRecord).log)).toEqual(lines.map(() => "acme"));
    await until("an event of the gateway", () => operations.records.some(({ log }) => log === "_gateway"));
  });

  it("A37: audit is killed while a batch is at its destination: nothing is lost, and what comes twice has the same id", async () => {
    const held = Promise.withResolvers<void>();
    const under = Promise.withResolvers<void>();
    siem.answer = async () => {
      under.resolve();
      await held.promise;
      return 200;
    };
    const names = await makeCalls(3);
    await under.promise;
    const [victim] = house.house.of("audit");
    if (victim === undefined) throw new Error("there is no audit service");
    victim.endedOnPurpose = true;
    process.kill(victim.process.pid, "SIGKILL");
    await victim.process.exit;
    siem.answer = () => 200;
    held.resolve();
    const more = await makeCalls(4);
    await house.house.add("audit");
    await untilAt(siem, [...names, ...more], 60_000);
    await untilAt(lake, [...names, ...more], 60_000);
    const { length } = toolsAt(lake);
    expect(new Set(toolsAt(siem)).size).toBe(new Set(toolsAt(lake)).size);
    expect(toolsAt(siem)).toHaveLength(length);
  });

  it("one that is away holds up no other and says so; it gets all that it missed, in the order of the log", async () => {
    const before = siem.records.length;
    siem.answer = () => 503;
    const names = await makeCalls(12);
    await untilAt(lake, names);
    await until("the metric", async () => /destination_up\{[^}]*"siem"[^}]*\} 0/.test(await audit("/metrics")));
    expect(await audit("/health")).toMatch(/"destination":"siem","problem":"HTTP 503"/);
    siem.answer = () => 200;
    await untilAt(siem, names, 60_000);
    const indices = siem.records.slice(before).map(({ index }) => Number(index));
    expect(indices).toEqual(indices.toSorted((a, b) => a - b));
    await until("the metric", async () => /destination_up\{[^}]*"siem"[^}]*\} 1/.test(await audit("/metrics")));
  });

  it("A36: a record that one refuses goes to AUDIT_DEAD with an alarm, and the rest goes on", async () => {
    siem.answer = (body) => (body.includes("poison-") ? 400 : 200);
    const poison = await makeCalls(1, "poison");
    const others = await makeCalls(5);
    await Promise.all([untilAt(siem, others, 60_000), untilAt(lake, [...poison, ...others])]);
    expect(toolsAt(siem)).not.toContain(poison[0]);
    await until("the metric", async () =>
      /destination_dead_letters_total\{[^}]*"siem"[^}]*\} 1/.test(await audit("/metrics")),
    );
    expect(await filesOf("AUDIT_DEAD")).toContain("destination siem: the destination refuses it: HTTP 400");
  });

  it("A31: the secret of a destination is in no log, on no bus and in nothing that is stored", async () => {
    const state = (await house.query("select * from audit_events")).map((row) => JSON.stringify(row)).join("\n");
    const kept = await Promise.all(["AUDIT", "AUDIT_DEAD", "KV_conf"].map(filesOf));
    for (const text of [await house.logs(), await audit("/health"), await audit("/metrics"), state, ...kept])
      expect(text).not.toContain(token);
    expect(kept[2]).toContain("SIEM_TOKEN");
  });
});

/** Everything that NATS keeps of a stream. */
async function filesOf(stream: string): Promise<string> {
  const dir = join(house.dataDir, "nats");
  const files = (await readdir(dir, { recursive: true, withFileTypes: true })).filter(
    (entry) => entry.isFile() && `${entry.parentPath}/`.includes(`/${stream}/`),
  );
  return (await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), "latin1")))).join("\n");
}
