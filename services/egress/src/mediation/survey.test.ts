import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Survey } from "./survey.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] }));
afterEach(() => void vi.useRealTimers());

const never = () => new Promise<string[]>(() => {});
const has = (names: string[]) => names.includes("x");
const isCertain = () => false;

test("whose a name is waits a moment for the slow once somebody has it, and not again for a while", async () => {
  const survey = new Survey(new Map(), "t");
  const all = () => [
    { server: "quick", answer: Promise.resolve(["x"]) },
    { server: "slow", answer: never() },
  ];
  const startedAt = Date.now();
  const first = survey.answered(all(), { has, isCertain });
  await vi.advanceTimersByTimeAsync(1_000);
  expect([...(await first).keys()]).toEqual(["quick"]);
  expect(Date.now() - startedAt).toBe(1_000);
  expect([...(await survey.answered(all(), { has, isCertain })).keys()]).toEqual(["quick"]);
});

test("a server that failed a moment ago is not waited for, but what it has at hand counts", async () => {
  const survey = new Survey(new Map(), "t");
  const quick = { server: "quick", answer: Promise.resolve(["x"]) };
  await survey.answered([quick, { server: "sick", answer: Promise.reject<string[]>(new Error("down")) }], {
    has,
    isCertain,
  });
  expect((await survey.answered([quick, { server: "sick", answer: never() }], { has, isCertain })).size).toBe(1);
  const back = { server: "sick", answer: Promise.resolve(["x"]) };
  expect((await survey.answered([quick, back], { has, isCertain })).size).toBe(2);
});

test("nobody is waited for where the outcome is certain, and the last failure is told where nobody answers", async () => {
  const survey = new Survey(new Map(), "t");
  const all = [
    { server: "quick", answer: Promise.resolve(["x"]) },
    { server: "slow", answer: never() },
  ];
  const answers = await survey.answered(all, { has, isCertain: (known) => known.has("quick") });
  expect(answers.size).toBe(1);
  const sick = { server: "sick", answer: Promise.reject<string[]>(new Error("down")) };
  await expect(survey.answered([sick], { has, isCertain })).rejects.toThrow("down");
});
