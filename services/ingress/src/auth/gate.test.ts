import { Fault } from "@sluice/contracts";
import { beforeEach, describe, expect, it } from "vitest";
import { Gate, Outage } from "./gate.ts";

let now: number;
let gate: Gate;
let asked: { readonly who: string; readonly answer: PromiseWithResolvers<string> }[];

beforeEach(() => {
  now = 0;
  asked = [];
  gate = new Gate(() => now);
});

const settle = () => new Promise((resolve) => setImmediate(resolve));
/** What came of it, thrown or not. */
const pass = (who: string, isKnown: boolean): Promise<unknown> =>
  gate
    .pass(isKnown, () => {
      const answer = Promise.withResolvers<string>();
      asked.push({ who, answer });
      return answer.promise;
    })
    .catch((error: unknown) => error);
const many = (count: number, isKnown: boolean) =>
  Array.from({ length: count }, (_, at) => pass(`${isKnown ? "known" : "unknown"}-${at}`, isKnown));
async function fail(count: number, isKnown: boolean, error: Fault = new Outage("away")): Promise<void> {
  for (let at = 0; at < count; at++) {
    const failed = pass("failing", isKnown);
    await settle();
    asked.pop()?.answer.reject(error);
    expect(await failed).toBe(error);
  }
}

describe("questions about credentials that were good before", () => {
  it("are all asked in their turn, 64 at once, however many there are", async () => {
    const all = many(400, true);
    let answered = 0;
    while (answered < 400) {
      await settle();
      expect(asked.length - answered).toBeLessThanOrEqual(64);
      asked[answered++]?.answer.resolve("good");
    }
    expect(new Set(await Promise.all(all))).toEqual(new Set(["good"]));
    expect(asked.map(({ who }) => who)).toEqual(Array.from({ length: 400 }, (_, at) => `known-${at}`));
  });

  it("have places that unknown ones cannot take, and go first where one becomes free", async () => {
    const unknown = many(80, false);
    expect(await unknown[48]).toMatchObject({ kind: "overloaded" });
    void many(17, true);
    await settle();
    expect(asked).toHaveLength(64);
    asked[0]?.answer.resolve("bad");
    await settle();
    expect(asked.at(-1)?.who).toBe("known-16");
    expect(await pass("one more", false)).toMatchObject({ kind: "overloaded" });
  });

  it("are asked on while the server fails at unknown ones", async () => {
    await fail(3, false);
    expect(await pass("unknown", false)).toBeInstanceOf(Outage);
    void pass("known", true);
    await settle();
    expect(asked.at(-1)?.who).toBe("known");
  });
});

describe("a pause", () => {
  it("is made for a second after three outages in a row, then after each", async () => {
    for (const isKnown of [true, false]) {
      gate = new Gate(() => now);
      await fail(3, isKnown);
      expect(await pass("at once", isKnown)).toBeInstanceOf(Outage);
      expect(asked).toEqual([]);
      now += 1_000;
      await fail(1, isKnown);
      expect(await pass("at once", isKnown)).toBeInstanceOf(Outage);
    }
  });

  it("is not made after what the server says of a credential, which ends a row of outages as an answer does", async () => {
    await fail(10, false, new Fault("upstream_unavailable", "it answered 400"));
    await fail(2, false);
    await fail(1, false, new Fault("upstream_unavailable", "it answered 400"));
    await fail(2, false);
    void pass("next", false);
    await settle();
    expect(asked.map(({ who }) => who)).toEqual(["next"]);
  });

  it("ends the wait of all who are in the queue", async () => {
    const all = many(100, true);
    await settle();
    for (const { answer } of asked.slice(0, 3)) answer.reject(new Outage("away"));
    for (const one of await Promise.all(all.slice(64))) expect(one).toBeInstanceOf(Outage);
    expect(asked).toHaveLength(64);
  });
});
