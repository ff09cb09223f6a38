import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Upkeep } from "./upkeep.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function world(isOver: () => Promise<boolean>) {
  const tidied: string[] = [];
  const tidy = (session: string) => Promise.resolve(void tidied.push(session));
  return { tidied, upkeep: new Upkeep<string>({ ttlMs: 10_000, isOver, tidy }) };
}

describe("what an unused session holds", () => {
  it("is given back when the session is over, not before, and not while another replica uses it", async () => {
    let over = false;
    const { tidied, upkeep } = world(() => Promise.resolve(over));
    upkeep.watch("a", "held by a");
    await vi.advanceTimersByTimeAsync(9_000);
    over = true;
    upkeep.watch("a", "held by a");
    await vi.advanceTimersByTimeAsync(9_000);
    expect(tidied).toEqual([]);
    over = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tidied).toEqual([]);
    over = true;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(tidied).toEqual(["held by a"]);
  });

  it("stays while nobody knows whether the session is over, and is no matter any more once it was ended", async () => {
    let isAway = true;
    const { tidied, upkeep } = world(() => (isAway ? Promise.reject(new Error("away")) : Promise.resolve(true)));
    upkeep.watch("a", "a");
    upkeep.watch("b", "b");
    await vi.advanceTimersByTimeAsync(30_000);
    expect(tidied).toEqual([]);
    isAway = false;
    upkeep.forget("b");
    await vi.advanceTimersByTimeAsync(30_000);
    expect(tidied).toEqual(["a"]);
    upkeep.watch("c", "c");
    upkeep[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tidied).toEqual(["a"]);
  });
});
