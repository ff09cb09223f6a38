import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { announce } from "@sluice/bus";
import { spawnService } from "@sluice/launcher";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { intent, outcome, password, patience, startReplica, TrailBus, TrailDatabases } from "./trail-world.ts";
import type { TrailDatabase } from "./trail-world.ts";

const house = new AsyncDisposableStack();
let databases: TrailDatabases;
let bus: TrailBus;
let database: TrailDatabase;
let scope: AsyncDisposableStack;

beforeAll(async () => {
  databases = house.use(await TrailDatabases.start(process.env));
  bus = house.use(await TrailBus.start(process.env));
}, 120_000);
afterAll(() => house.disposeAsync());
beforeEach(async () => {
  scope = new AsyncDisposableStack();
  await bus.ensureStreams();
  database = scope.use(await databases.create());
});
afterEach(() => scope.disposeAsync());

const started = () => startReplica({ bus, url: database.url, scope });
const states = () => database.rows("select call, state, status from audit_calls order by call");

describe("A34: an attempt whose outcome does not come", () => {
  test("is under way while its emitter lives, and unknown once that is gone; an outcome that comes still counts", async () => {
    const one = scope.use(await bus.connect("ingress"));
    const other = scope.use(await bus.connect("ingress"));
    scope.use(announce(one));
    const dying = announce(other);
    await bus.admitFrom(one.instance, intent("lives-1"));
    await bus.admitFrom(other.instance, intent("dies-1"), intent("dies-2"));
    await bus.conclude(outcome("dies-2"));
    const replicas = [await started(), await started()];
    await database.untilStored(4);
    dying[Symbol.dispose]();
    await vi.waitFor(async () => expect((await states())[0]?.["state"]).toBe("outcome unknown"), patience);
    expect(await states()).toMatchObject([
      { call: "dies-1", state: "outcome unknown" },
      { call: "dies-2", state: "done" },
      { call: "lives-1", state: "under way" },
    ]);
    const told = await Promise.all(replicas.map((replica) => replica.metric("sluice_audit_outcomes_unknown_total")));
    expect(told.reduce<number>((sum, count) => sum + (count ?? 0), 0)).toBe(1);
    await bus.conclude(outcome("dies-1", { status: 504 }));
    await vi.waitFor(async () => expect((await states())[0]).toMatchObject({ state: "done", status: 504 }), patience);
    expect(await database.rows("select event_id from audit_events where kind = 'unknown'")).toEqual([
      { event_id: "dies-1.u" },
    ]);
  }, 60_000);
});

describe("what operators are told", () => {
  test("how full the stream is, and how long its oldest message waits", async () => {
    const replica = await started();
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await databases.postgres.stop();
    await bus.ensureStreams(1 << 20);
    for (let index = 0; index < 90; index++)
      await bus.admit(
        intent(`a-${index}`, {
          path: `/${"x".repeat(500)}`,
          target: "y".repeat(2_000),
          user: "z".repeat(256),
          rpcId: "r".repeat(256),
          scopes: ["s".repeat(256), ...Array.from({ length: 24 }, (_, at) => `${at}${"t".repeat(250)}`)],
        }),
      );
    await vi.waitFor(() => expect(replica.problems().join()).toMatch(/AUDIT stream is [89]\d % full/), patience);
    expect(Number(replica.health()["backlog_percent"])).toBeGreaterThan(80);
    expect(await replica.metric("sluice_audit_stream_fill_ratio")).toBeGreaterThan(0.8);
    expect(await replica.metric("sluice_audit_oldest_message_age_seconds")).toBeGreaterThan(0);
    await databases.postgres.restart();
    await database.untilStored(90);
    await vi.waitFor(() => expect(replica.problems()).toEqual([]), patience);
    expect(replica.health()).toMatchObject({ backlog_percent: 0, storing: "ok" });
  }, 60_000);

  test("A36: how many dead letters lie there", async () => {
    const replica = await started();
    await bus.tell({ event: "outcome", call: "bad" }, { event: "nonsense" });
    await vi.waitFor(async () => expect(await replica.metric("sluice_audit_dead_letters")).toBe(2), patience);
    expect(replica.problems().join()).toContain("2 events could not be stored");
  });

  test("A41: a full disk of Postgres stops the storing, is told, and nothing is lost", async () => {
    const replica = await started();
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    await database.rows(`create function full_disk() returns trigger language plpgsql as
      $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$;
      create trigger full_disk before insert on audit_tiles execute function full_disk();
      create trigger full_disk before insert on audit_events execute function full_disk()`);
    await bus.admit(intent("a-1"));
    await vi.waitFor(() => expect(replica.problems().join()).toContain("the disk of Postgres is full"), patience);
    expect(replica.isReady()).toBe(false);
    await database.rows("drop function full_disk cascade");
    await database.untilStored(1);
    await vi.waitFor(() => expect(replica.isReady()).toBe(true), patience);
    expect(replica.problems().join()).not.toContain("disk");
  });

  test("A41: without file descriptors nothing is acknowledged, and it goes on when there are some", async () => {
    const lines: string[] = [];
    const service = await spawnService({
      name: "audit",
      command: process.execPath,
      args: [join(import.meta.dirname, "../dist/main.js")],
      env: {
        ...process.env,
        NATS_URL: bus.nats.url,
        NATS_USER: "audit",
        NATS_PASSWORD: password,
        DATABASE_URL: database.url,
      },
      onLine: (line) => lines.push(line),
    });
    scope.defer(() => service.stop("SIGKILL", 5_000).then(() => {}));
    await bus.admit(intent("a-1"));
    await database.untilStored(1);
    await limitFiles(service.pid, 3);
    await database.rows(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'sluice-audit%'",
    );
    await bus.admit(intent("a-2"));
    await vi.waitFor(() => expect(lines.join()).toMatch(/EMFILE/), patience);
    expect(await database.count()).toBe(1);
    await limitFiles(service.pid, 1_024);
    await database.untilStored(2);
  }, 60_000);
});

async function limitFiles(pid: number | undefined, most: number): Promise<void> {
  await promisify(execFile)("prlimit", ["--pid", String(pid), `--nofile=${most}:`]);
}
