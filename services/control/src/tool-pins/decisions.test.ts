import type { ToolPin } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { pinDecided } from "./decisions.ts";

const pin: ToolPin = {
  tool: "t",
  definitions: [
    { hash: "a", state: "approved", seenAt: 1, decidedAt: 1, by: "first sight" },
    { hash: "b", state: "pending", seenAt: 2 },
    { hash: "c", state: "pending", seenAt: 3 },
    { hash: "d", state: "rejected", seenAt: 4 },
  ],
};
const decided = (state: "approved" | "rejected", definition?: string) =>
  pinDecided(pin, { state, definition, operator: "alice" }, 9).definitions.map((one) => `${one.hash} ${one.state}`);

describe("a decision", () => {
  it("to approve one definition rejects what else waits, and leaves alone what was decided before", () => {
    expect(decided("approved", "c")).toEqual(["a approved", "b rejected", "c approved", "d rejected"]);
    expect(pinDecided(pin, { state: "approved", definition: "c", operator: "alice" }, 9).definitions[2]).toEqual({
      hash: "c",
      state: "approved",
      seenAt: 3,
      decidedAt: 9,
      by: "alice",
    });
  });

  it("may be taken back: what was rejected can be approved, what was approved rejected", () => {
    expect(decided("approved", "d")).toContain("d approved");
    expect(decided("rejected", "a")).toEqual(["a rejected", "b pending", "c pending", "d rejected"]);
  });

  it("to reject without saying what is about all that wait", () => {
    expect(decided("rejected")).toEqual(["a approved", "b rejected", "c rejected", "d rejected"]);
  });

  it("about what is not there is refused", () => {
    expect(() => decided("approved", "e")).toThrow(/not seen with this definition/);
    const calm = { ...pin, definitions: pin.definitions.slice(0, 1) };
    expect(() => pinDecided(calm, { state: "rejected", operator: "alice" }, 9)).toThrow(/waits for a decision/);
  });
});
