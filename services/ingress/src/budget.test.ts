import { describe, expect, it } from "vitest";
import { BodyBudget } from "./budget.ts";

const megabyte = 1024 * 1024;
const world = () => {
  const budget = new BodyBudget(64 * megabyte);
  return (id: string, tenant = "acme") => budget.of({ tenant, agent: { id } }).open();
};
const full = "too many large requests";

describe("the budget", () => {
  it("is never taken beyond its limit, and what is given back can be taken again", () => {
    const open = world();
    const holds = ["a-1", "a-2"].map((id) => open(id));
    for (const hold of holds) hold.resize(28 * megabyte);
    expect(() => open("a-3").resize(megabyte)).toThrow(full);
    holds[0]?.resize(1);
    open("a-3").resize(28 * megabyte);
  });

  it("leaves half to the others, however many bodies one agent has, and lets one body alone be larger", () => {
    const open = world();
    const first = open("a-1");
    first.resize(40 * megabyte);
    expect(() => open("a-1").resize(megabyte)).toThrow(full);
    open("a-2").resize(16 * megabyte);
    first.release();
    for (let taken = 0; taken < 29; taken++) open("a-1").resize(megabyte);
    expect(() => open("a-1").resize(megabyte)).toThrow(full);
    open("a-1", "another tenant").resize(megabyte);
  });

  it("keeps room for small bodies, of which one agent can't take all either", () => {
    const open = world();
    for (const id of ["a-1", "a-2"]) open(id).resize(28 * megabyte);
    const takenBy = (id: string) => {
      let taken = 0;
      try {
        for (; ; taken++) open(id).resize(64 * 1024);
      } catch {
        return taken;
      }
    };
    expect(takenBy("a-1")).toBe(64);
    expect(takenBy("a-3")).toBe(64);
  });

  it("refuses a body without forgetting what it holds, and holds nothing once it is released", () => {
    const open = world();
    const holds = Array.from({ length: 4 }, () => open("a-1"));
    for (let round = 0; round < 3; round++) {
      for (const hold of holds) {
        for (let bytes = 0; bytes <= 14 * megabyte; bytes += 100_000) {
          try {
            hold.resize(bytes);
          } catch {
            break;
          }
        }
      }
      for (const hold of holds) hold.release();
    }
    open("a-2").resize(56 * megabyte);
    open("a-3").resize(64 * 1024);
  });
});
