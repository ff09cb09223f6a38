import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeJson, encodeJson, type SessionCreated, sessionNameOf } from "@sluice/contracts";
import { startRedis, type Part } from "@sluice/launcher";
import { closeRedis, openRedis } from "@sluice/runtime/redis";
import { handleAdmission, handleCreate, handleEnd, type Deps } from "./service.ts";
import { RedisSessions } from "./sessions-redis.ts";

const ttlSeconds = 600;
const owner = { tenant: "acme", identity: "sentinel-1", server: "demo" };
const call = {
  tenant: owner.tenant,
  agent: { id: "sentinel-1" },
  identity: owner.identity,
  protocol: "mcp",
  method: "ping",
  server: owner.server,
};
let dataDir: string;
let part: Part;
let redis: Redis;
let sessions: RedisSessions;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sluice-sessions-"));
  const { REDIS_URL: _, ...env } = process.env;
  part = await startRedis({ dataDir, env });
  redis = openRedis({ url: part.url, timeoutMs: 5_000 });
  await redis.connect();
  let now = 0;
  sessions = new RedisSessions(redis, { ttlSeconds, mostPerAgent: 3, now: () => now++, onRefreshFailure: () => {} });
}, 120_000);

afterAll(async () => {
  if (redis !== undefined) await closeRedis(redis);
  await part?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

const keyOf = (session: string) => `gw:mcp:session:${session}`;

/** The name of a new session. */
async function created(upstreamSession: string, isMediated = false): Promise<string> {
  const { session } = await sessions.create(owner, { upstreamSession, ...(isMediated && { isMediated }) });
  return sessionNameOf(session);
}

function world() {
  const replies: unknown[] = [];
  const ignored: string[] = [];
  const deps: Deps = {
    sessions,
    admitTasks: () => Promise.resolve([]),
    reply: (subject, payload) => void replies.push({ subject, answer: decodeJson(payload) }),
    ignored: (reason) => void ignored.push(reason),
    counted: () => {},
  };
  const message = (body: unknown, reply: string | undefined = "box") => ({
    subject: "s",
    data: body instanceof Uint8Array ? body : encodeJson(body),
    ...(reply !== undefined && { reply }),
  });
  return { deps, replies, ignored, message };
}

describe("sessions", () => {
  it("give the client an id of 256 random bits that says nothing of the upstream's", async () => {
    const ids = await Promise.all(
      Array.from(
        { length: 50 },
        async () => (await sessions.create(owner, { upstreamSession: "upstream-id" })).session,
      ),
    );
    expect(new Set(ids).size).toBe(50);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  it("A19: are found by their owner only: another agent, tenant or server gets the same as for an unknown id", async () => {
    const session = await created("u1");
    const claims = [
      { ...owner, session },
      { ...owner, identity: "alchemy-1", session },
      { ...owner, tenant: "other", session },
      { ...owner, server: "files", session },
      { ...owner, identity: "Sentinel-1", session },
      { ...owner, session: `${session.startsWith("a") ? "b" : "a"}${session.slice(1)}` },
      { ...owner, session },
    ];
    expect(await sessions.find(claims)).toEqual([
      { upstreamSession: "u1" },
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      { upstreamSession: "u1" },
    ]);
  });

  it("A19: made-up ids of any form are refused without asking Redis", async () => {
    const away = openRedis({ url: "redis://127.0.0.1:1", timeoutMs: 1_000 });
    const offline = new RedisSessions(away, { ttlSeconds, mostPerAgent: 3, onRefreshFailure: () => {} });
    const forms = ["", "x".repeat(129), "a b", "a\r\nDEL x", "a:b", "*", "ï", "a\0", "../x"];
    expect(await offline.find(forms.map((session) => ({ ...owner, session })))).toEqual(forms.map(() => undefined));
    away.disconnect();
  });

  it("live on when they are used, and not when someone else tries them", async () => {
    const session = await created("u1");
    await redis.expire(keyOf(session), 100);
    await sessions.find([{ ...owner, identity: "alchemy-1", session }]);
    expect(await redis.ttl(keyOf(session))).toBeLessThanOrEqual(100);
    await sessions.find([{ ...owner, session }]);
    expect(await redis.ttl(keyOf(session))).toBeGreaterThan(ttlSeconds - 10);
  });

  it("are forgotten when their time is over, and at their end; ending an unknown one is no error", async () => {
    const session = await created("u1");
    await redis.pexpire(keyOf(session), 0);
    expect(await sessions.find([{ ...owner, session }])).toEqual([undefined]);
    const other = await created("u2");
    await sessions.end(other);
    await sessions.end(other);
    await sessions.end("no such form\n");
    expect(await sessions.find([{ ...owner, session: other }])).toEqual([undefined]);
  });

  it("of two changes at once keep the first: the second is told what is kept instead", async () => {
    const session = await created("u1", true);
    const claim = { ...owner, session };
    const change = (expected: string, upstreamSession: string) => sessions.update(claim, { expected, upstreamSession });
    const [one, two] = await Promise.all([change("u1", "u2"), change("u1", "u3")]);
    expect(one.ok).not.toBe(two.ok);
    const kept = one.ok ? "u2" : "u3";
    expect(one.ok ? two : one).toEqual({ ok: false, upstreamSession: kept });
    expect(await change(kept, "u4")).toEqual({ ok: true });
    expect(await sessions.look(claim)).toEqual({ upstreamSession: "u4", isMediated: true });
    expect(
      await sessions.update({ ...claim, identity: "alchemy-1" }, { expected: "u4", upstreamSession: "u5" }),
    ).toEqual({
      ok: false,
    });
  });

  it("of one agent are bounded where they are mediated: the one unused for longest makes room, an ended one counts no more", async () => {
    const ended = await created("u0", true);
    const [oldest, used] = [await created("u1", true), await created("u2", true)];
    await sessions.end(ended);
    await sessions.find([{ ...owner, session: oldest }]);
    await redis.ping();
    expect((await sessions.create(owner, { upstreamSession: "u3", isMediated: true })).ended).toEqual([]);
    const { ended: gone } = await sessions.create(owner, { upstreamSession: "u4", isMediated: true });
    expect(gone).toEqual([{ session: used, server: owner.server, upstreamSession: "u2", isMediated: true }]);
    expect(await sessions.look({ ...owner, session: used })).toBeUndefined();
    expect(await sessions.look({ ...owner, session: oldest })).toBeDefined();
    expect((await sessions.create(owner, { upstreamSession: "u5" })).ended).toEqual([]);
    const other = { ...owner, identity: "alchemy-1" };
    expect((await sessions.create(other, { upstreamSession: "u6", isMediated: true })).ended).toEqual([]);
  });

  it("that Redis holds in a form of someone else's are refused", async () => {
    for (const value of ["{", "null", "1", "{}"]) {
      await redis.set(keyOf(sessionNameOf("foreign")), value);
      expect(await sessions.find([{ ...owner, session: sessionNameOf("foreign") }])).toEqual([undefined]);
    }
  });
});

describe("the service", () => {
  it("creates a session, admits its owner with the upstream's id, and ends it", async () => {
    const { deps, replies, message } = world();
    await handleCreate(deps, message({ ...owner, upstreamSession: "u1" }));
    const session = sessionNameOf((replies.pop() as { answer: SessionCreated }).answer.session);
    const calls = [
      { ...call, session },
      call,
      { ...call, session: sessionNameOf("made-up") },
      { ...call, identity: "alchemy-1", session },
    ];
    await handleAdmission(deps, message({ from: "i", calls }));
    const verdicts = [{ ok: true, upstreamSession: "u1" }, { ok: false }, { ok: false }, { ok: false }];
    expect(replies.pop()).toEqual({ subject: "box", answer: { by: "session-manager", verdicts } });
    await handleEnd(deps, message({ session }));
    expect(replies.pop()).toEqual({ subject: "box", answer: {} });
    await handleAdmission(deps, message({ from: "i", calls: [{ ...call, session }] }));
    expect(replies.pop()).toMatchObject({ answer: { verdicts: [{ ok: false }] } });
  });

  it("leaves unanswered what is malformed, and says nothing of an upstream's id", async () => {
    const { deps, replies, ignored, message } = world();
    await handleCreate(deps, message({ ...owner, upstreamSession: "secret\r\nx: y" }));
    await handleCreate(deps, message({ tenant: "acme" }));
    await handleEnd(deps, message({ session: 1 }));
    await handleAdmission(deps, message({ calls: [{ tenant: "acme", agent: { id: "a" }, server: "s", session: 7 }] }));
    await handleAdmission(deps, message(Buffer.from("{")));
    expect(replies).toEqual([]);
    expect(ignored).toHaveLength(5);
    expect(ignored.join()).not.toContain("secret");
  });

  it("answers nothing while Redis is away, so that the asker's deadline closes; and answers again when it is back", async () => {
    const { deps, replies, message } = world();
    const session = await created("u1");
    await part.kill("SIGKILL");
    await expect(handleAdmission(deps, message({ from: "i", calls: [{ ...call, session }] }))).rejects.toThrow();
    await expect(handleCreate(deps, message({ ...owner, upstreamSession: "u2" }))).rejects.toThrow();
    expect(replies).toEqual([]);
    const back = Promise.withResolvers<void>();
    redis.once("ready", back.resolve);
    await part.restart();
    await back.promise;
    await handleCreate(deps, message({ ...owner, upstreamSession: "u2" }));
    expect(replies).toHaveLength(1);
  }, 60_000);
});
