import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceName } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type ReceivedRequest, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LedgerLoad, type LedgerLine } from "./ledger-load.ts";

/** How often each process is killed; A37 asks for ten, which docs/operations.md tells how to run. */
const rounds = Number(process.env["SLUICE_LEDGER_ROUNDS"] ?? 1);
const victims: readonly ServiceName[] = ["audit", "ingress", "egress", "policy", "rate-limit", "session-manager"];
const replicas = { ingress: 2, egress: 2, policy: 2, "rate-limit": 2, "session-manager": 2, audit: 2 };
const callsBetween = 60;
const roundMs = 300_000;

let house: TestHouse;
let upstream: FakeUpstream;
let load: LedgerLoad;
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

/** Kills one replica of a service in the midst of its work, and starts another in its place. */
async function killOne(service: ServiceName): Promise<void> {
  const [victim] = house.house.of(service);
  if (victim === undefined) throw new Error(`${service} does not run`);
  victim.endedOnPurpose = true;
  await victim.process.stop("SIGKILL");
  await untilAnswered(callsBetween);
  await house.house.add(service);
  await untilAnswered(callsBetween);
}

async function killPart(name: "nats" | "postgres"): Promise<void> {
  const part = house.house.parts[name];
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
}

/** Per trace what the trail has, once nothing waits any more. */
async function trail(): Promise<Map<string, Row>> {
  const select = `select trace, count(*)::int as intents, max(status) as status, max(state) as state
    from audit_calls where method = 'tools/call' group by trace`;
  const open = async () =>
    (await house.query<{ open: number }>("select count(*)::int as open from audit_calls where state = 'under way'"))[0]
      ?.open;
  await until("every call to be accounted for", async () => (await open().catch(() => 1)) === 0, 90_000);
  return new Map((await house.query<Row>(select)).map((row) => [row.trace, row]));
}

/** What the client knows against what the trail says. */
function compare(ledger: readonly LedgerLine[], rows: ReadonlyMap<string, Row>) {
  const lost = ledger.filter(({ trace, status }) => status === 200 && !rows.has(trace));
  const executedUnrecorded = [...executions.keys()].filter((trace) => !rows.has(trace));
  const double = [...rows.values()].filter(({ intents }) => intents !== 1);
  const executedTwice = [...executions].filter(([, count]) => count > 1);
  const otherStatus = ledger.filter(({ trace, status }) => {
    const row = rows.get(trace);
    return status !== undefined && row?.state === "done" && row.status !== status;
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
    `agrees over kill -9 of each service, NATS and Postgres under load: nothing acknowledged is lost, nothing is there or done twice, nobody hangs (A34, A37)`,
    async () => {
      load = new LedgerLoad({ urls, key: house.key("a-1"), concurrency: 8 });
      for (let round = 0; round < rounds; round++) {
        for (const victim of victims) await killOne(victim);
        for (const part of ["nats", "postgres"] as const) await killPart(part);
      }
      await load.stop();
      const rows = await trail();
      const { unknown, ...trouble } = compare(load.ledger, rows);
      expect(trouble).toEqual(nothing);
      const answered = new Set(load.ledger.filter(({ status }) => status === 200).map(({ trace }) => trace));
      expect(unknown.filter(({ trace }) => answered.has(trace)).length).toBeLessThanOrEqual(
        64 * rounds * victims.length,
      );
    },
    roundMs * rounds,
  );
});
