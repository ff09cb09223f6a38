import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { Checkpoint, TrailEntry } from "@sluice/contracts";
import { FakeUpstream, startTestHouse, until, type TestHouse } from "@sluice/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { as, send, toolCall } from "./http.ts";

let house: TestHouse;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  const upstream = stack.use(await FakeUpstream.start());
  const tenant = (agent: string) => ({
    agents: [agent],
    mcp: { endpoints: [{ name: "main", url: upstream.url }] },
    accessRules: [{ agentPattern: "*", allowedTools: ["*"] }],
  });
  house = stack.use(
    await startTestHouse({
      tenants: { acme: tenant("a-1"), beta: tenant("b-1") },
      auditors: ["acme", "beta"],
      envOf: { signer: { SIGNER_INTERVAL_MS: "300" } },
    }),
  );
}, 180_000);
afterAll(() => stack.disposeAsync());

async function callOf(tenant: string, agent: string, times: number): Promise<void> {
  for (let number = 0; number < times; number++) {
    const path = `${house.house.url}/mcp`;
    expect((await send(path, { headers: as(house.key(agent, tenant)), body: toolCall("echo") })).status).toBe(200);
  }
}

interface Auditor {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  readonly stream: string;
}

/** As anybody does who has NATS' own client. */
async function connectAuditor(log: string) {
  const all = JSON.parse(await readFile(join(house.dataDir, "auditors.json"), "utf8")) as Record<string, Auditor>;
  const { url, user, password, stream } = all[log] as Auditor;
  const nats = await connect({ servers: url, user, pass: password });
  stack.defer(() => nats.close());
  return { nats, stream, js: jetstream(nats), manager: await jetstreamManager(nats) };
}

const sizeOf = async (log: string) =>
  Number(
    (await house.query<{ size: string }>("select max(size) as size from audit_heads where log = $1", [log]))[0]?.size,
  );

it("A37: what is stored of calls is signed, and stands in Postgres and in a file", async () => {
  await callOf("acme", "a-1", 5);
  await until("both events of each call", async () => (await sizeOf("acme")) >= 10);
  await until("a checkpoint of the newest tree", async () => {
    const [newest] = await house.query<{ size: string }>(
      "select max(size) as size from audit_checkpoints where log = 'acme'",
    );
    return Number(newest?.size) === (await sizeOf("acme"));
  });
  const size = await sizeOf("acme");
  // The file has it after Postgres; a line that is being written has no end yet.
  const newest = await until("it in the file", async () => {
    const lines = (await readFile(join(house.dataDir, "checkpoints.jsonl"), "utf8")).split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Checkpoint).find((one) => one.log === "acme" && one.size === size);
  });
  const [head] = await house.query(
    "select encode(root, 'hex') as root from audit_heads where log = 'acme' and size = $1",
    [size],
  );
  expect(head).toEqual({ root: newest.root });
});

it("A36: compliance replays its tenant's events by NATS' own client, from a place or a time, and hears new ones", async () => {
  await callOf("acme", "a-1", 3);
  await callOf("beta", "b-1", 2);
  await until("all of it", async () => (await sizeOf("acme")) >= 16 && (await sizeOf("beta")) >= 4);
  const size = await sizeOf("acme");
  const { js, manager, stream } = await connectAuditor("acme");
  await until("the copy", async () => (await manager.streams.info(stream)).state.messages >= size);
  const read = async (options: object, count: number) => {
    const consumer = await js.consumers.get(stream, options);
    const entries: TrailEntry[] = [];
    for await (const message of await consumer.fetch({ max_messages: count, expires: 5_000 }))
      entries.push(message.json<TrailEntry>());
    return entries;
  };
  const all = await read({}, size);
  expect(all.map(({ index }) => index)).toEqual(Array.from({ length: size }, (_, index) => index));
  expect(new Set(all.map(({ log, event }) => [log, event["tenant"] ?? "acme"].join()))).toEqual(new Set(["acme,acme"]));
  const fromFourth = await read({ deliver_policy: "by_start_sequence", opt_start_seq: 4 }, 2);
  expect(fromFourth.map(({ index }) => index)).toEqual([3, 4]);
  const since = new Date().toISOString();
  await callOf("acme", "a-1", 1);
  const sinceThen = await read({ deliver_policy: "by_start_time", opt_start_time: since }, 2);
  expect(sinceThen.map(({ index }) => index)).toEqual([size, size + 1]);
});

it("A24: compliance's account reads its own log, changes nothing and sees no other's", async () => {
  const { nats, manager, stream } = await connectAuditor("beta");
  expect((await manager.streams.names().next()).map((name) => name)).toEqual([stream]);
  const refused = [
    ...["gw.trail.v1.beta", "gw.trail.v1.acme", "gw.admit.v1.mcp.-.-.-", "gw.audit.v1.ingress", "$KV.conf.policy._"],
    ...["STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.MSG.DELETE"].map(
      (verb) => `$JS.API.${verb}.${stream}`,
    ),
    ...["$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.INFO.TRAIL", "$JS.API.STREAM.MSG.GET.TRAIL"],
    ...["gw.source.CONSUMER.CREATE.TRAIL.x.gw.trail.v1.beta", "gw.source.CONSUMER.CREATE.TRAIL.x.gw.trail.v1.acme"],
    ...["$JS.API.CONSUMER.CREATE.TRAIL.x.gw.trail.v1.acme", "$JS.FC.TRAIL.x.y"],
  ];
  for (const subject of refused)
    await expect(nats.request(subject, "{}", { timeout: 2_000 }), subject).rejects.toThrow(/permissions violation/i);
  for (const subject of [">", "gw.>", "gw.trail.v1.acme", "gw.copy.v1.acme.>", "$JS.>"]) {
    const error = Promise.withResolvers<Error | null>();
    nats.subscribe(subject, { callback: error.resolve });
    expect((await error.promise)?.message, subject).toMatch(/permissions violation/i);
  }
  const before = (await manager.streams.info(stream)).state.messages;
  for (const verb of ["PURGE", "DELETE"])
    await manager.consumers.add(stream, {
      name: `to-${verb}`,
      deliver_subject: `$JS.API.STREAM.${verb}.${stream}`,
      headers_only: true,
    });
  await callOf("beta", "b-1", 1);
  await until("the new ones", async () => (await manager.streams.info(stream)).state.messages >= before + 2);
});
