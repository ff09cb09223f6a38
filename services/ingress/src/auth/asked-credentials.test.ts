import { Fault } from "@sluice/contracts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Principal } from "../tenants.ts";
import { AskedCredentials, type Finding } from "./asked-credentials.ts";

let now: number;
let asked: { secret: string; isKnown: boolean; answer: PromiseWithResolvers<Finding> }[];
let changes: number;
let mayAsk: boolean;
let credentials: AskedCredentials;

beforeEach(() => {
  now = 1_000_000;
  asked = [];
  changes = 0;
  mayAsk = true;
  credentials = new AskedCredentials({
    clock: () => now,
    changed: () => changes++,
    ask: (secret, isKnown) => {
      if (!mayAsk) return undefined;
      const answer = Promise.withResolvers<Finding>();
      asked.push({ secret, isKnown, answer });
      return answer.promise;
    },
  });
});

const found = (servesMs = 3_000, tenant = "acme"): Finding => ({
  principal: { tenant, agent: { id: "a-1" }, method: "oauth2" },
  untilMs: now + servesMs,
});
const refused = (): Finding => ({ untilMs: now });
/** What came of it in the end, thrown or not. */
const outcome = (secret: string) => Promise.resolve(credentials.authenticate(secret)).catch((error: unknown) => error);
const settle = () => new Promise((resolve) => setImmediate(resolve));
// What is told late is told to the test that it belongs to.
afterEach(settle);
async function answer(finding: Finding | Error): Promise<void> {
  const last = asked.at(-1)?.answer;
  if (finding instanceof Error) last?.reject(finding);
  else last?.resolve(finding);
  await settle();
}
async function enter(finding = found()): Promise<Principal> {
  const principal = credentials.authenticate("secret");
  await answer(finding);
  return (await principal) as Principal;
}

describe("a credential that somebody is asked about", () => {
  it("is asked about once for all who show it at once, and not again while the answer serves", async () => {
    const both = [credentials.authenticate("secret"), credentials.authenticate("secret")];
    await answer(found());
    expect(await both[0]).toBe(await both[1]);
    expect(asked).toHaveLength(1);
    expect(credentials.authenticate("secret")).toMatchObject({ agent: { id: "a-1" }, isPerishable: true });
    now += 3_000;
    expect(credentials.authenticate("secret")).toBeInstanceOf(Promise);
    expect(asked).toHaveLength(2);
  });

  it("is known by its hash alone", async () => {
    const principal = await enter();
    expect(principal.credential).toMatch(/^[0-9a-f]{64}$/);
    expect(JSON.stringify(principal)).not.toContain("secret");
  });

  it("that is refused stays so for a moment, then is asked about again", async () => {
    const first = outcome("secret");
    await answer(refused());
    expect(await first).toMatchObject({ kind: "unauthorized" });
    expect(() => credentials.authenticate("secret")).toThrow(/not valid/);
    now += 2_000;
    expect(credentials.authenticate("secret")).toBeInstanceOf(Promise);
    expect(asked).toHaveLength(2);
  });

  it("that nobody can be asked about is nobody's", () => {
    mayAsk = false;
    expect(credentials.authenticate("secret")).toBeUndefined();
  });

  it.each([
    [new Fault("upstream_unavailable", "away"), "upstream_unavailable"],
    [new Error("anything"), "unavailable"],
  ])("lets nobody in where asking throws %s, and keeps nothing of it (A3)", async (error, kind) => {
    const first = outcome("secret");
    await answer(error);
    expect(await first).toMatchObject({ kind });
    expect(credentials.authenticate("secret")).toBeInstanceOf(Promise);
  });
});

describe("what is done with it", () => {
  it("goes on while it is asked again, and ends as soon as it is refused (A8)", async () => {
    const principal = await enter();
    now += 3_000;
    expect(credentials.knows(principal)).toBe(true);
    expect(credentials.knows(principal)).toBe(true);
    expect(asked).toHaveLength(2);
    await answer(refused());
    await settle();
    expect(changes).toBe(1);
    expect(credentials.knows(principal)).toBe(false);
  });

  it("goes on for 30 s after nobody could say for the first time, then ends (A8)", async () => {
    const principal = await enter();
    now += 3_000;
    for (let seconds = 0; seconds <= 30; seconds += 2) {
      expect(credentials.knows(principal), `${seconds} s`).toBe(true);
      await answer(new Fault("upstream_unavailable", "away"));
      now += 2_000;
    }
    expect(credentials.knows(principal)).toBe(false);
  });

  it("goes on while its question waits for its turn, or there was no room to ask it, however long", async () => {
    const principal = await enter();
    now += 100_000;
    expect(credentials.knows(principal)).toBe(true);
    now += 100_000;
    expect(credentials.knows(principal)).toBe(true);
    await answer(new Fault("overloaded", "too many"));
    now += 100_000;
    expect(credentials.knows(principal)).toBe(true);
    await answer(found());
    expect(credentials.knows(principal)).toBe(true);
  });

  it("and who shows it again have it asked about as one that was good before, also after the rules changed", async () => {
    const principal = await enter();
    credentials.clear();
    void outcome("secret");
    await answer(found());
    now += 3_000;
    credentials.knows(principal);
    await answer(refused());
    now += 2_000;
    void outcome("secret");
    expect(asked.map(({ isKnown }) => isKnown)).toEqual([false, true, true, false]);
  });

  it("ends at once where nobody can be asked any more, or it is another tenant's now", async () => {
    const principal = await enter();
    credentials.clear();
    mayAsk = false;
    expect(credentials.knows(principal)).toBe(false);
    mayAsk = true;
    await enter(found(3_000, "beta"));
    expect(credentials.knows(principal)).toBe(false);
  });

  it("is told of once where many are refused together", async () => {
    for (const secret of ["a", "b", "c"]) void outcome(secret);
    for (const { answer: one } of asked) one.resolve(found());
    await settle();
    now += 3_000;
    for (const secret of ["a", "b", "c"]) void outcome(secret);
    for (const { answer: one } of asked) one.resolve(refused());
    await settle();
    await settle();
    expect(changes).toBe(1);
  });

  it.each<[string, Partial<Principal>, boolean]>([
    ["another user", { user: "bob" }, false],
    ["fewer scopes", { scopes: ["read"] }, false],
    ["other servers", { servers: ["mail"] }, false],
    ["the same in another order", { scopes: ["write", "read"] }, true],
  ])(
    "with %s at the next confirmation goes on only where that gives the same rights",
    async (_what, change, goesOn) => {
      const rights = { user: "ada", scopes: ["read", "write"], servers: ["files"] };
      const first = found();
      const of = (more: Partial<Principal>): Finding => ({
        untilMs: now + 3_000,
        principal: { tenant: "acme", agent: { id: "a-1" }, method: "oauth2", ...first.principal, ...rights, ...more },
      });
      const principal = await enter(of({}));
      now += 3_000;
      expect(credentials.knows(principal)).toBe(true);
      await answer(of(change));
      await settle();
      expect(credentials.knows(principal)).toBe(goesOn);
      expect(changes).toBe(goesOn ? 0 : 1);
    },
  );

  it("is judged by the rules of now where they changed while it was asked", async () => {
    const first = outcome("secret");
    credentials.clear();
    await answer(found());
    expect(asked).toHaveLength(2);
    await answer(refused());
    expect(await first).toMatchObject({ kind: "unauthorized" });
  });
});

it("what is kept is bounded: of many refused ones the oldest is forgotten, and none of them pushes out a good one", async () => {
  await enter();
  for (let at = 0; at < 5_100; at++) {
    void outcome(`bad-${at}`);
    asked.at(-1)?.answer.resolve(refused());
    if (at % 500 === 0) await settle();
  }
  await settle();
  expect(credentials.authenticate("bad-0")).toBeInstanceOf(Promise);
  expect(() => credentials.authenticate("bad-5099")).toThrow(/not valid/);
  expect(credentials.authenticate("secret")).not.toBeInstanceOf(Promise);
});
