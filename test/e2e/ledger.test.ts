import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceName } from "@sluice/contracts";
import type { Replica } from "@sluice/launcher";
import { FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LedgerLoad, type LedgerLine } from "./ledger-load.ts";

/** How often each process is killed; CONTRIBUTING.md tells how to run the ten that A37 asks for. */
const rounds = Number(process.env["SLUICE_LEDGER_ROUNDS"] ?? 1);
const replicas = { ingress: 2, egress: 2, policy: 2, "rate-limit": 2, "session-manager": 2, audit: 2 };
const victims: readonly ServiceName[] = [...(Object.keys(replicas) as ServiceName[]), "control", "signer"];
const callsBetween = 60;
const roundMs = 240_000;
const settlingMs = 240_000;
const sluice = join(import.meta.dirname, "../../cli/bin/sluice.mjs");

let house: TestHouse;
let upstream: FakeUpstream;
let load: LedgerLoad;
/** Emitters that were killed. */
const killed = new Set<string>();
let partsKilled = 0;
/** Those that were told to end. */
const stopped: string[] = [];
/** How often the upstream carried out each call, by its trace id. */
const executions = new Map<string, number>();

beforeAll(async () => {
  upstream = await FakeUpstream.start((received: ReceivedRequest, response) => {
    const { trace } = (received.message?.params?.["arguments"] ?? {}) as { trace?: string };
    if (trace !== undefined) executions.set(trace, (executions.get(trace) ?? 0) + 1);
    const answer = { jsonrpc: "2.0", id: received.message?.id, result: { content: [{ type: "text", text: "done" }] } };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  house = await startTestHouse({
    tenants: {
      acme: {
        agents: ["a-1"],
        mcp: { endpoints: [{ name: "main", url: upstream.url }] },
        accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
      },
    },
    replicas,
  });
});
afterAll(async () => {
  await load?.stop();
  await house?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
});

const urls = () =>
  house.house
    .of("ingress")
    .map(({ url }) => url)
    .filter((url) => url !== undefined);

/** The load goes on and gets answers. */
async function untilAnswered(calls: number): Promise<void> {
  const enough = load.answered + calls;
  await until(`${calls} more answers`, () => load.answered >= enough, 60_000);
}

async function instanceOf({ health }: Replica): Promise<string> {
  const answer = await fetch(`${health}/health`);
  return ((await answer.json()) as { instance: string }).instance;
}

/** Kills one replica of a service in the midst of its work, and starts another in its place. */
async function killOne(service: ServiceName): Promise<void> {
  const [victim] = house.house.of(service);
  if (victim === undefined) throw new Error(`${service} does not run`);
  victim.endedOnPurpose = true;
  killed.add(await instanceOf(victim));
  await victim.process.stop("SIGKILL");
  await untilAnswered(callsBetween);
  await house.house.add(service);
  await untilAnswered(callsBetween);
}

async function killPart(name: "nats" | "postgres"): Promise<void> {
  const part = house.house.parts[name];
  partsKilled++;
  await part.kill("SIGKILL");
  await sleep(1_000);
  await part.restart();
  await untilAnswered(callsBetween);
}

interface Row {
  readonly trace: string;
  readonly intents: number;
  readonly status: number | null;
  readonly state: string;
  readonly emitter: string;
}

/** Per trace what the trail has, once nothing waits any more. */
async function trail(): Promise<Map<string, Row>> {
  const select = `select trace, count(*)::int as intents, max(status) as status, max(state) as state,
    max(emitter) as emitter from audit_calls where method = 'tools/call' group by trace`;
  const open = () =>
    house.query("select call, emitter, at, stored_at, session_hash from audit_calls where state = 'under way' limit 3");
  let left: unknown;
  await until(
    "every call to be accounted for",
    async () => {
      left = await open().catch((error: Error) => [error.message]);
      return (left as unknown[]).length === 0;
    },
    90_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(left)}`);
  });
  return new Map((await house.query<Row>(select)).map((row) => [row.trace, row]));
}

/** NATS died with an answer that egress had sent: the call is done and on record as that, and its client was told 502. */
function isCutOff(status: number, row: Row): boolean {
  return partsKilled > 0 && status === 502 && row.status === 200;
}

/** What the client knows against what the trail says. */
function compare(ledger: readonly LedgerLine[], rows: ReadonlyMap<string, Row>) {
  const lost = ledger.filter(({ trace, status }) => status === 200 && !rows.has(trace));
  const executedUnrecorded = [...executions.keys()].filter((trace) => !rows.has(trace));
  const double = [...rows.values()].filter(({ intents }) => intents !== 1);
  const executedTwice = [...executions].filter(([, count]) => count > 1);
  const otherStatus = ledger.filter(({ trace, status }) => {
    const row = rows.get(trace);
    return status !== undefined && row?.state === "done" && row.status !== status && !isCutOff(status, row);
  });
  const hanging = ledger.filter(({ isHanging }) => isHanging);
  const unknown = [...rows.values()].filter(({ state }) => state !== "done");
  return { lost, executedUnrecorded, double, executedTwice, otherStatus, hanging, unknown };
}

const nothing = { lost: [], executedUnrecorded: [], double: [], executedTwice: [], otherStatus: [], hanging: [] };

describe("the client's own ledger against the trail", () => {
  it("agrees call by call, and nothing is unknown, where nothing died (A34)", async () => {
    load = new LedgerLoad({ urls, key: house.key("a-1"), concurrency: 8 });
    await untilAnswered(300);
    await load.stop();
    const rows = await trail();
    expect(compare(load.ledger, rows)).toEqual({ ...nothing, unknown: [] });
    expect(rows.size).toBe(load.ledger.length);
  }, 120_000);

  it(
    "agrees over kill -9 of each service, NATS and Postgres under load: nothing acknowledged is lost, nothing is there or done twice, nobody hangs (A34, A37)",
    async () => {
      load = new LedgerLoad({ urls, key: house.key("a-1"), concurrency: 8 });
      for (let round = 0; round < rounds; round++) {
        for (const victim of victims) await killOne(victim);
        for (const part of ["nats", "postgres"] as const) await killPart(part);
      }
      await load.stop();
      const rows = await trail();
      const { unknown, ...trouble } = compare(load.ledger, rows);
      const statuses = Object.groupBy(load.ledger, ({ status }) => String(status));
      const counts = Object.entries(statuses).map(([status, lines]) => `${lines?.length} × ${status}`);
      process.stdout.write(`${load.ledger.length} attempts (${counts.join(", ")}), ${unknown.length} unknown\n`);
      expect(trouble).toEqual(nothing);
      expect(unknown.filter(({ emitter }) => !killed.has(emitter))).toEqual([]);
    },
    roundMs * rounds + settlingMs,
  );

  it(
    "is what the signer signed, and every emitter that ended in order has told all: `sluice audit verify` finds nothing wrong (A34, A37)",
    async () => {
      for (const service of ["ingress", "egress", "control"] as const) await stopAll(service);
      await until("the end of each emitter is stored and signed", allSigned, 90_000);
      const { code, out } = await verify();
      const said = JSON.parse(out) as {
        problems: unknown[];
        warnings: string[];
        emitters: { emitters: number; whole: number };
      };
      process.stdout.write(`${JSON.stringify(said.emitters)}, ${said.warnings.length} warnings\n`);
      expect(said).toMatchObject({ ok: true, shown: "signed", problems: [] });
      expect(code).toBe(0);
      expect(said.emitters.whole).toBe(stopped.length);
      const others = [
        ...killed,
        ...(await Promise.all([...house.house.of("audit"), ...house.house.of("signer")].map(instanceOf))),
      ];
      const warned = said.warnings.filter((warning) => warning.startsWith("emitter "));
      for (const warning of warned)
        expect(
          others.filter((one) => warning.includes(one)),
          warning,
        ).toHaveLength(1);
    },
    settlingMs,
  );
});

async function stopAll(service: ServiceName): Promise<void> {
  for (const replica of house.house.of(service)) {
    replica.endedOnPurpose = true;
    stopped.push(await instanceOf(replica));
    await replica.process.stop("SIGTERM", 30_000);
  }
}

async function allSigned(): Promise<boolean> {
  const logs = await house.query<{ size: string; signed: string | null }>(
    "select max(size) as size, (select max(size) from audit_checkpoints c where c.log = h.log) as signed from audit_heads h group by log",
  );
  const ends = await house.query("select from audit_events where word = 'stopped' and emitter = any($1)", [stopped]);
  return ends.length === stopped.length && logs.every(({ size, signed }) => size === signed);
}

function verify(): Promise<{ code: number; out: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; out: string }>();
  const args = ["audit", "verify", "--data", house.dataDir, "--checkpoint", join(house.dataDir, "checkpoints.jsonl")];
  execFile(process.execPath, [sluice, ...args, "--json"], { maxBuffer: 1 << 26 }, (error, out) =>
    resolve({ code: error === null ? 0 : Number(error.code), out }),
  );
  return promise;
}
