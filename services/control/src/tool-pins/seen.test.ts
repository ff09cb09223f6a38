import { mostDefinitionsPerTool, type PinState, type ToolPin } from "@sluice/contracts";
import { describe, expect, it } from "vitest";
import { pinAfter } from "./seen.ts";

const hashOf = (number: number) => number.toString(16).padStart(64, "0");
const seen = (before: ToolPin | undefined, numbers: number[], { first = "pending" as PinState, now = 1 } = {}) =>
  pinAfter(before, { tool: "t", hashes: numbers.map(hashOf), first, now });
const statesOf = (pin: ToolPin | undefined) => pin?.definitions.map(({ state }) => state);

describe("a pin", () => {
  it("trusts the definition of first sight alone, where it is told to, and says so", () => {
    const first = seen(undefined, [1, 2], { first: "approved", now: 7 });
    expect(statesOf(first?.pin)).toEqual(["approved", "pending"]);
    expect(first?.pin.definitions[0]).toMatchObject({ seenAt: 7, decidedAt: 7, by: "first sight" });
    expect(statesOf(seen(undefined, [1])?.pin)).toEqual(["pending"]);
    expect(statesOf(seen(first?.pin, [3], { first: "approved" })?.pin)).toEqual(["approved", "pending", "pending"]);
  });

  it("stays as it is where all is known", () => {
    const { pin } = seen(undefined, [1]) ?? {};
    expect(seen(pin, [1, 1])).toBeUndefined();
  });

  it("follows a server that changes all the time only now and then", () => {
    const { pin } = seen(undefined, [1, 2, 3, 4]) ?? {};
    expect(seen(pin, [5], { now: 9_000 })).toBeUndefined();
    expect(seen(pin, [5], { now: 10_001 })?.added).toHaveLength(1);
  });

  it("is bounded: the oldest that is not approved makes room, approved ones last", () => {
    const definitions = Array.from({ length: mostDefinitionsPerTool }, (_, index) => ({
      hash: hashOf(index),
      state: index === 2 ? ("rejected" as const) : ("approved" as const),
      seenAt: 0,
    }));
    const one = seen({ tool: "t", definitions }, [99]);
    expect(one?.dropped).toEqual([hashOf(2)]);
    const two = seen(one?.pin, [100]);
    expect(two?.dropped).toEqual([hashOf(99)]);
    expect(two?.pin.definitions).toHaveLength(mostDefinitionsPerTool);
    const full = definitions.map((definition) => ({ ...definition, state: "approved" as const }));
    expect(seen({ tool: "t", definitions: full }, [99])?.dropped).toEqual([hashOf(0)]);
    expect(
      seen(
        undefined,
        Array.from({ length: 40 }, (_, index) => index),
      )?.pin.definitions,
    ).toHaveLength(mostDefinitionsPerTool);
  });
});
