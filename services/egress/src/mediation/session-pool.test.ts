import { describe, expect, it } from "vitest";
import { SessionPool, type SessionPoolOptions } from "./session-pool.ts";

class Session {
  isOver = false;
  closed = 0;
  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

function world(options: Partial<SessionPoolOptions> = {}) {
  const opened: Session[] = [];
  const open = () => {
    const session = new Session();
    opened.push(session);
    return Promise.resolve(session);
  };
  const pool = new SessionPool<Session>({ most: 2, mostIdle: 2, idleMs: 60_000, ...options });
  const take = (key: string, { isShared = false, place = "p" } = {}) => pool.take({ place, key }, { open, isShared });
  return { pool, take, opened };
}

describe("sessions that are kept for whoever needs one next", () => {
  it("serve one at a time, or many where they can be shared", async () => {
    const { take, opened } = world();
    const one = await take("k");
    const two = await take("k");
    expect(two.session).not.toBe(one.session);
    one.release();
    expect((await take("k")).session).toBe(one.session);
    const shared = await Promise.all([
      take("s", { isShared: true, place: "q" }),
      take("s", { isShared: true, place: "q" }),
    ]);
    expect(shared[0]?.session).toBe(shared[1]?.session);
    expect(opened).toHaveLength(3);
  });

  it("are bounded per place: an unused one makes room, the longest unused first, and one in use never", async () => {
    const { take, opened } = world();
    const [one, two] = [await take("a"), await take("b")];
    await expect(take("c")).rejects.toMatchObject({ kind: "overloaded" });
    await take("c", { place: "q" });
    two.release();
    one.release();
    await take("d");
    await nextTurn();
    expect(opened.map(({ closed }) => closed)).toEqual([0, 1, 0, 0]);
  });

  it("are closed when their users discard them, the last of many, and once", async () => {
    const { take, opened, pool } = world();
    const [one, two] = [await take("k", { isShared: true }), await take("k", { isShared: true })];
    one.discard();
    await nextTurn();
    expect(opened[0]?.closed).toBe(0);
    two.release();
    two.release();
    await nextTurn();
    expect(opened[0]?.closed).toBe(1);
    expect((await take("k", { isShared: true })).session).not.toBe(one.session);
    await pool[Symbol.asyncDispose]();
    expect(opened.map(({ closed }) => closed)).toEqual([1, 1]);
  });

  it("are not kept in larger number than may be idle, nor longer than that", async () => {
    const { take, opened } = world({ most: 5, mostIdle: 1, idleMs: 5 });
    const [one, two] = [await take("a"), await take("b")];
    one.release();
    two.release();
    await nextTurn();
    expect(opened.map(({ closed }) => closed)).toEqual([1, 0]);
    await expect.poll(() => opened.map(({ closed }) => closed)).toEqual([1, 1]);
  });

  it("that are over are replaced", async () => {
    const { take, pool } = world();
    const one = await take("k");
    one.release();
    one.session.isOver = true;
    expect((await take("k")).session).not.toBe(one.session);
    const adopted = new Session();
    (await pool.adopt({ place: "q", key: "k" }, adopted)).release();
    expect((await pool.find({ place: "q", key: "k" }))?.session).toBe(adopted);
    adopted.isOver = true;
    expect(await pool.find({ place: "q", key: "k" })).toBeUndefined();
  });

  it("that fail to open take no room, and those for which there is none are closed", async () => {
    const { pool, take } = world();
    const open = () => Promise.reject(new Error("no"));
    for (let turn = 0; turn < 3; turn++)
      await expect(pool.take({ place: "p", key: "k" }, { open, isShared: true })).rejects.toThrow("no");
    await take("a");
    await take("b");
    const homeless = new Session();
    await expect(pool.adopt({ place: "p", key: "c" }, homeless)).rejects.toMatchObject({ kind: "overloaded" });
    expect(homeless.closed).toBe(1);
  });

  it("are all closed at the end, those that open at that moment included", async () => {
    const { pool, take, opened } = world();
    const used = await take("a");
    const opening = take("b");
    await pool[Symbol.asyncDispose]();
    used.release();
    (await opening).release();
    await nextTurn();
    expect(opened.map(({ closed }) => closed)).toEqual([1, 1]);
  });
});
