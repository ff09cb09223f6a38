import { Fault } from "@sluice/contracts";
import { describe, expect, test } from "vitest";
import { TokenKeeper, type Token } from "./token-keeper.ts";

/** A keeper whose clock and authorization server stand still until the test moves them. */
function setUp() {
  let now = 1_000_000;
  const requests: PromiseWithResolvers<Token>[] = [];
  const keeper = new TokenKeeper({
    clock: () => now,
    fetch: () => {
      const request = Promise.withResolvers<Token>();
      requests.push(request);
      return request.promise;
    },
    failed: () => new Fault("upstream_failed", "no token"),
  });
  const answer = async (value: string, lifetimeMs = 100_000) => {
    requests.at(-1)?.resolve({ value, lifetimeMs });
    await new Promise(setImmediate);
  };
  const fail = async () => {
    requests.at(-1)?.reject(new Error("down"));
    await new Promise(setImmediate);
  };
  const first = async (value: string, lifetimeMs?: number) => {
    const taken = keeper.take();
    await answer(value, lifetimeMs);
    return taken;
  };
  return { keeper, requests, answer, fail, first, pass: (ms: number) => (now += ms) };
}

describe("one token for all", () => {
  test("fifty that ask at once make one request, and later ones get the token without waiting", async () => {
    const { keeper, requests, answer } = setUp();
    const all = Promise.all(Array.from({ length: 50 }, async () => keeper.take()));
    await answer("t-1");
    expect(new Set(await all)).toEqual(new Set(["t-1"]));
    expect(keeper.take()).toBe("t-1");
    expect(requests).toHaveLength(1);
  });

  test("it is renewed in the background at 80 % of its life; nobody waits for that", async () => {
    const { keeper, requests, answer, first, pass } = setUp();
    await first("t-1");
    pass(79_999);
    expect(keeper.take()).toBe("t-1");
    expect(requests).toHaveLength(1);
    pass(1);
    expect([keeper.take(), keeper.take()]).toEqual(["t-1", "t-1"]);
    expect(requests).toHaveLength(2);
    await answer("t-2");
    expect(keeper.take()).toBe("t-2");
  });

  test("one that is about to end is not shown any more", async () => {
    const { keeper, answer, first, pass } = setUp();
    await first("t-1");
    pass(95_000);
    const taken = keeper.take();
    await answer("t-2");
    expect(await taken).toBe("t-2");
  });

  test("its life counts from when it was asked for, not from when it came", async () => {
    const { keeper, requests, answer, pass } = setUp();
    const taken = keeper.take();
    pass(9_000);
    await answer("t-1", 10_000);
    expect(await taken).toBe("t-1");
    expect(keeper.take()).toBeInstanceOf(Promise);
    expect(requests).toHaveLength(2);
  });
});

describe("a refused token", () => {
  test("is dropped, so that the next call fetches anew; a newer one stays", async () => {
    const { keeper, first } = setUp();
    await first("t-1");
    keeper.drop("t-1");
    expect(await first("t-2")).toBe("t-2");
    keeper.drop("t-1");
    expect(keeper.take()).toBe("t-2");
  });

  test("an upstream that refuses every token makes for one token request in ten seconds", async () => {
    const { keeper, requests, first, pass } = setUp();
    await first("t-1");
    keeper.drop("t-1");
    await first("t-2");
    pass(9_999);
    keeper.drop("t-2");
    expect(keeper.take()).toBe("t-2");
    pass(1);
    keeper.drop("t-2");
    expect(keeper.take()).toBeInstanceOf(Promise);
    expect(requests).toHaveLength(3);
  });
});

describe("an authorization server that fails", () => {
  test("fails everybody who waits, then is left alone for 1 s, 2 s, 4 s … 30 s", async () => {
    const { keeper, requests, fail, first, pass } = setUp();
    for (const [index, pauseMs] of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].entries()) {
      const taken = Promise.allSettled([1, 2].map(async () => keeper.take()));
      await fail();
      expect((await taken).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
      expect(requests).toHaveLength(index + 1);
      pass(pauseMs - 1);
      expect(() => keeper.take()).toThrow(Fault);
      pass(1);
    }
    expect(await first("t-1")).toBe("t-1");
  });

  test("does not end a token that is still good, and is not asked at every call", async () => {
    const { keeper, requests, fail, first, pass } = setUp();
    await first("t-1");
    pass(80_000);
    expect(keeper.take()).toBe("t-1");
    await fail();
    expect([keeper.take(), keeper.take()]).toEqual(["t-1", "t-1"]);
    expect(requests).toHaveLength(2);
    pass(1_000);
    expect(keeper.take()).toBe("t-1");
    expect(requests).toHaveLength(3);
  });
});
