import { randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import type { PushSave } from "@sluice/contracts";
import { startPostgres } from "@sluice/launcher";
import { Database } from "@sluice/runtime/postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PushStore } from "./push-store.ts";
import { PushVault } from "./push-vault.ts";
import { schema } from "./tasks-postgres.ts";

const scope = new AsyncDisposableStack();
const vault = new PushVault([randomBytes(32)]);
const canary = "cnry-webhook-Zr2Lx7Vb5Tk9Ym3Pd6";
const jsonrpc = { version: "1.0", binding: "JSONRPC" } as const;
let database: Database;
let store: PushStore;

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), "sluice-test-push-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  const part = await startPostgres({ dataDir: dir });
  scope.defer(() => part.stop().then(() => {}));
  const limits = { connections: 4, connectTimeoutMs: 5_000, queryTimeoutMs: 5_000 };
  database = scope.use(
    new Database({ connectionString: part.url, ssl: false }, { name: "sluice-push-test", ...schema, ...limits }),
  );
  store = new PushStore(database, { vault, mostPerTask: 3 });
});
afterAll(() => scope.disposeAsync());

const newId = () => randomBytes(16).toString("base64url");

function saving(over: Partial<PushSave> = {}): PushSave {
  return {
    ...{ tenant: "acme", identity: "ana", server: "planner", call: randomUUID(), agent: "a-1", isListed: true },
    ...{ id: newId(), expiresAt: Date.now() + 60_000, client: jsonrpc, upstream: jsonrpc },
    webhook: {
      url: `https://hooks.example/in?${canary}`,
      token: canary,
      authentication: { scheme: "Basic", credentials: canary },
    },
    ...over,
  };
}

async function bound(over: Partial<PushSave> = {}, task: string = randomUUID()) {
  const push = saving(over);
  expect(await store.save(push)).toBe(true);
  const { tenant, identity, server, call } = push;
  const [config = ""] = await store.bind({ tenant, identity, server, call, task });
  return { push, task, config, place: { tenant, identity, server, task } };
}

describe("a webhook", () => {
  it("is told nothing before a task is bound to it, and then exactly what it was given", async () => {
    const push = saving({ config: "mine" });
    await store.save(push);
    const task = randomUUID();
    expect(await store.find({ id: push.id, task })).toMatchObject({ is: "pending", call: push.call });
    const { tenant, identity, server, call } = push;
    expect(await store.bind({ tenant, identity, server, call, task })).toEqual(["mine"]);
    const found = await store.find({ id: push.id, task });
    expect(found).toMatchObject({ is: "bound", config: "mine", webhook: push.webhook, agent: "a-1" });
    expect(await store.find({ id: push.id, task: randomUUID() })).toMatchObject({ is: "foreign" });
  });

  it("A22: is found by nobody but its caller, at its own agent and task", async () => {
    const { place, config } = await bound();
    expect(await store.list({ ...place, config })).toHaveLength(1);
    for (const other of [{ identity: "bob" }, { server: "coder" }, { tenant: "other" }, { task: randomUUID() }]) {
      expect(await store.list({ ...place, ...other })).toEqual([]);
      await store.delete({ ...place, ...other, config });
    }
    expect(await store.list({ ...place, config })).toHaveLength(1);
  });

  it("replaces what was called so before, and no more than that", async () => {
    const { task, place } = await bound({ config: "one" });
    await bound({ config: "two" }, task);
    const webhook = { url: "https://hooks.example/new" };
    await bound({ config: "one", webhook }, task);
    const kept = await store.list(place);
    expect(new Map(kept.map(({ config, url }) => [config, url]))).toEqual(
      new Map([
        ["one", webhook.url],
        ["two", `https://hooks.example/in?${canary}`],
      ]),
    );
  });

  it("is one of as many as its task may have", async () => {
    const { task } = await bound({ config: "1" });
    await bound({ config: "2" }, task);
    await bound({ config: "3" }, task);
    expect(await store.save(saving({ config: "4", task }))).toBe(false);
    expect(await store.save(saving({ config: "3", task }))).toBe(true);
  });

  it("is forgotten when its call came to nothing, or its time is over", async () => {
    const push = saving();
    await store.save(push);
    await store.drop(push);
    expect(await store.find({ id: push.id, task: "t" })).toBeUndefined();
    const { push: over, task } = await bound({ expiresAt: Date.now() - 1 });
    expect(await store.find({ id: over.id, task })).toBeUndefined();
    await store.sweep();
    expect(await rowsOf(over.id)).toEqual([]);
  });

  it("A31, A32: is in Postgres without a byte of it in clear, and of no use in another's row", async () => {
    const [{ push, task }, other] = [await bound(), await bound({ identity: "bob" })];
    const all = JSON.stringify((await database.use((client) => client.query("select * from a2a_push"))).rows);
    const bytes = await rowsOf(push.id);
    expect(bytes.length).toBe(1);
    expect(all).not.toContain("hooks.example");
    expect(Buffer.concat(bytes).toString("latin1")).not.toContain(canary);
    const swap = "update a2a_push set sealed = (select sealed from a2a_push where id = $2) where id = $1";
    await database.use((client) => client.query(swap, [push.id, other.push.id]));
    await expect(store.find({ id: push.id, task })).rejects.toThrow("cannot be decrypted");
  });

  it("opens with an older key, and is sealed with the newest", async () => {
    const [older, newer] = [randomBytes(32), randomBytes(32)];
    const place = { tenant: "acme", identity: "ana", server: "planner", id: newId() };
    const sealed = new PushVault([older]).seal(place, { url: "https://hooks.example/" });
    expect(new PushVault([newer, older]).open(place, sealed)).toEqual({ url: "https://hooks.example/" });
    expect(() => new PushVault([newer]).open(place, sealed)).toThrow("PUSH_ENCRYPTION_KEY");
  });
});

async function rowsOf(id: string): Promise<Buffer[]> {
  const { rows } = await database.use((client) =>
    client.query<{ sealed: Buffer }>("select sealed from a2a_push where id = $1", [id]),
  );
  return rows.map(({ sealed }) => sealed);
}
