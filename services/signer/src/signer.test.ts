import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "@sluice/contracts";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { isGenuine } from "./checkpoint.ts";
import { openNote } from "./note.ts";
import { key, Receiver, SignerWorld } from "./signer-world.ts";
import { leafOf, treeHash, WrittenLog } from "./test-trees.ts";

const patience = { timeout: 20_000, interval: 20 };
let world: SignerWorld;
let replicas: AsyncDisposableStack;
let logs = 0;

beforeAll(async () => {
  world = await SignerWorld.open(process.env);
}, 120_000);
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  replicas = new AsyncDisposableStack();
});
afterEach(() => replicas.disposeAsync());

const start = async (env?: Record<string, string>) => replicas.use(await world.start(env));
const newLog = () => new WrittenLog(world.database, `acme-${++logs}`);
const untilStored = (log: WrittenLog, sizes: readonly number[]) =>
  vi.waitFor(async () => expect((await world.stored(log.log)).map(({ size }) => size)).toEqual(sizes), patience);

/** As somebody would who has the database. */
async function tamper(...statements: readonly string[]): Promise<void> {
  await world.database.query("set session_replication_role = replica");
  for (const statement of statements) await world.database.query(statement);
  await world.database.query("set session_replication_role = default");
}

test("A37: signs each log's tree as it grows, with the root that it computed itself", async () => {
  const [acme, beta] = [newLog(), newLog()];
  await acme.grow(3);
  const replica = await start();
  await untilStored(acme, [3]);
  await beta.grow(1);
  await acme.grow(1_000);
  await Promise.all([untilStored(acme, [3, 1_003]), untilStored(beta, [1])]);
  const [, newest] = await world.stored(acme.log);
  expect(openNote(newest?.note ?? "", key.verifierKey)).toBe(
    `example.com/audit/${acme.log}\n1003\n${acme.root.toString("base64")}\n`,
  );
  expect(newest?.root).toBe(acme.root.toString("hex"));
  expect((await world.streamed(acme.log)).map(({ note }) => note)).toEqual(
    (await world.stored(acme.log)).map(({ note }) => note),
  );
  expect(replica.isReady()).toBe(true);
  expect(replica.health()).toMatchObject({ verifierKey: key.verifierKey, refused: {} });
});

test("A37: goes on after a restart, over whole tiles of several levels and leaves that retention removed", async () => {
  const log = newLog();
  await log.grow(66_000);
  await start();
  await untilStored(log, [66_000]);
  await replicas.disposeAsync();
  replicas = new AsyncDisposableStack();
  await tamper(`delete from audit_events where log = '${log.log}' and leaf_index < 65536`);
  await log.grow(300);
  const replica = await start();
  await untilStored(log, [66_000, 66_300]);
  expect(replica.health()).toMatchObject({ refused: {} });
}, 60_000);

describe("a tree that does not come after the one that was signed", () => {
  const cases = {
    smaller: (log: WrittenLog) => [`delete from audit_heads where log = '${log.log}' and size > 300`],
    gone: (log: WrittenLog) => [`delete from audit_heads where log = '${log.log}'`],
    root: (log: WrittenLog) => [`update audit_heads set root = sha256('x') where log = '${log.log}' and size = 600`],
    rewritten: (log: WrittenLog) => {
      const leaves = log.leaves.with(550, leafOf("another", 550));
      const [added, forked] = [
        leafOf(log.log, 600),
        `'\\x${treeHash([...leaves, leafOf(log.log, 600)]).toString("hex")}'`,
      ];
      return [
        `update audit_events set leaf_hash = '\\x${leafOf("another", 550).toString("hex")}' where log = '${log.log}' and leaf_index = 550`,
        `insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, at, stored_at, emitter, service, word)
         values ('${log.log}-x', '${log.log}', 600, '\\x${added.toString("hex")}', 1, 'emitter', now(), now(), 'e', 's', 'started')`,
        `insert into audit_heads values ('${log.log}', 601, ${forked}, now())`,
      ];
    },
    head: (log: WrittenLog) => [
      `insert into audit_events (event_id, log, leaf_index, leaf_hash, schema, kind, at, stored_at, emitter, service, word)
       values ('${log.log}-x', '${log.log}', 600, sha256('y'), 1, 'emitter', now(), now(), 'e', 's', 'started')`,
      `insert into audit_heads values ('${log.log}', 601, sha256('x'), now())`,
    ],
    missing: (log: WrittenLog) => [`insert into audit_heads values ('${log.log}', 601, sha256('x'), now())`],
  };

  test.each(Object.entries(cases))("A37: is refused, with an alarm, and other logs go on: %s", async (name, forge) => {
    const [log, other] = [newLog(), newLog()];
    await log.grow(300);
    await log.grow(300);
    const first = await world.start();
    await untilStored(log, [600]);
    const isKnownBefore = name !== "rewritten";
    if (!isKnownBefore) await first[Symbol.asyncDispose]();
    await tamper(...forge(log));
    const replica = isKnownBefore ? replicas.use(first) : await start();
    const reason = name === "gone" ? "smaller" : name;
    await vi.waitFor(() => expect(replica.health()).toMatchObject({ refused: { [log.log]: reason } }), patience);
    await other.grow(2);
    await untilStored(other, [2]);
    expect((await world.stored(log.log)).map(({ size }) => size)).toEqual([600]);
    const refusals = await replica.metric("sluice_signer_refusals_total");
    expect(refusals.find(({ labels }) => (labels as { reason: string }).reason === reason)?.value).toBeGreaterThan(0);
    expect(replica.problems().join()).toContain(log.log);
    const told = await lastAction(log.log);
    expect(told).toMatchObject({ action: "audit.fork", tenant: log.log, fault: reason, result: "noted" });
  });

  test("A37: is refused until an operator accepts it, and then only as it was accepted", async () => {
    const log = newLog();
    await log.grow(10);
    await using first = await world.start();
    await untilStored(log, [10]);
    await tamper(
      `delete from audit_heads where log = '${log.log}'`,
      `delete from audit_events where log = '${log.log}'`,
    );
    const again = new WrittenLog(world.database, log.log);
    await again.grow(4);
    await vi.waitFor(() => expect(first.health()).toMatchObject({ refused: { [log.log]: "smaller" } }), patience);
    await first[Symbol.asyncDispose]();
    const wrong = await world.start({ SIGNER_ACCEPT: `${log.log}@4:${"0".repeat(64)}` });
    await vi.waitFor(() => expect(wrong.health()).toMatchObject({ refused: { [log.log]: "root" } }), patience);
    await wrong[Symbol.asyncDispose]();
    const accept = `${log.log}@4:${again.root.toString("hex")}`;
    await again.grow(3);
    const right = await start({ SIGNER_ACCEPT: accept });
    await untilStored(log, [7, 10]);
    await again.grow(1);
    await untilStored(log, [7, 8, 10]);
    expect(right.health()).toMatchObject({ refused: {} });
  });
});

test("A37: several replicas sign each size once, and never two roots", async () => {
  const log = newLog();
  await Promise.all([start(), start(), start()]);
  const sizes: number[] = [];
  for (let round = 0; round < 8; round++) {
    sizes.push(await log.grow(5));
    await vi.waitFor(async () => expect((await world.stored(log.log)).at(-1)?.size).toBe(sizes.at(-1)), patience);
  }
  const stored = await world.stored(log.log);
  for (const { size, root } of stored) expect(root).toBe(treeHash(log.leaves.slice(0, size)).toString("hex"));
  const streamed = await world.streamed(log.log);
  const notes = new Map(streamed.map(({ size, note }) => [size, note]));
  expect(streamed.every(({ size, note }) => notes.get(size) === note)).toBe(true);
});

test("A37: where the bucket is lost, what was signed last is known from Postgres", async () => {
  const log = newLog();
  await log.grow(10);
  await using first = await world.start();
  await untilStored(log, [10]);
  await first[Symbol.asyncDispose]();
  await world.control.ask("$JS.API.STREAM.DELETE.KV_checkpoints", new Uint8Array(), { timeoutMs: 5_000 });
  await world.makeStreams();
  await tamper(`update audit_heads set root = sha256('x') where log = '${log.log}'`);
  const replica = await start();
  await vi.waitFor(() => expect(replica.health()).toMatchObject({ refused: { [log.log]: "root" } }), patience);
});

test("checkpoints go to a file and by HTTP; one that is away holds nothing up and gets the newest later", async () => {
  const file = join(world.dataDir, "checkpoints.jsonl");
  const receiver = replicas.use(await Receiver.start());
  receiver.status = 503;
  const log = newLog();
  const env = { SIGNER_FILE: file, SIGNER_HTTP_URL: receiver.url, SIGNER_HTTP_TOKEN: "token-of-the-receiver" };
  const replica = await start(env);
  const inFile = async () =>
    (await readFile(file, "utf8").catch(() => ""))
      .split("\n")
      .filter((line) => line.includes(`"${log.log}"`))
      .map((line) => JSON.parse(line) as Checkpoint);
  for (const size of [2, 4, 6]) {
    await log.grow(2);
    await vi.waitFor(async () => expect((await inFile()).at(-1)?.size).toBe(size), patience);
  }
  await vi.waitFor(() => expect(replica.problems().join()).toContain("http"), patience);
  receiver.status = 204;
  const ours = () => receiver.received.filter(({ log: name }) => name === log.log);
  await vi.waitFor(() => expect(ours().map(({ size }) => size)).toEqual([6]), patience);
  expect(receiver.authorizations).toEqual(new Set(["Bearer token-of-the-receiver"]));
  expect((await inFile()).every((one) => isGenuine(one, "example.com/audit", key.verifierKey))).toBe(true);
  await vi.waitFor(() => expect(replica.problems().join()).not.toContain("http"), patience);
});

test("SIGTERM signs what was stored last before it ends", async () => {
  const log = newLog();
  const replica = await world.start({ SIGNER_INTERVAL_MS: "3600000" });
  await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
  await log.grow(5);
  await replica[Symbol.asyncDispose]();
  expect((await world.stored(log.log)).map(({ size }) => size)).toEqual([5]);
});

async function lastAction(log: string): Promise<unknown> {
  return vi.waitFor(async () => {
    for (let seq = 1; ; seq++) {
      const question = new TextEncoder().encode(JSON.stringify({ seq, next_by_subj: "gw.audit.v1.signer" }));
      const { data } = await world.control.ask("$JS.API.STREAM.MSG.GET.AUDIT", question, { timeoutMs: 5_000 });
      const { message } = JSON.parse(Buffer.from(data).toString()) as { message?: { seq: number; data: string } };
      if (message === undefined) throw new Error("no such action");
      const { events } = JSON.parse(Buffer.from(message.data, "base64").toString()) as {
        events: { subject?: string }[];
      };
      const found = events.find(({ subject }) => subject === log);
      if (found !== undefined) return found;
      seq = message.seq;
    }
  }, patience);
}
