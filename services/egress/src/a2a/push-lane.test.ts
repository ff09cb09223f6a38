import type { Delivery } from "@sluice/bus";
import { describe, expect, it } from "vitest";
import { Lane } from "./push-lane.ts";

const at = (sequence: number): Delivery => ({
  ...{ sequence, subject: "gw.push.v1.t.c", data: new Uint8Array(), tries: 1 },
  ...{ ack: () => {}, nak: () => {}, working: () => {} },
});

describe("Lane", () => {
  it("takes a few, and what it sent away before what comes behind that", () => {
    const lane = new Lane();
    for (const sequence of [1, 2, 3]) {
      expect(lane.admits(at(sequence), 0)).toBe(true);
      lane.add(at(sequence));
    }
    const pauses = [4, 5, 7].map((sequence) => {
      expect(lane.admits(at(sequence), 0)).toBe(false);
      return lane.sendAway(at(sequence), { now: 0 });
    });
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    lane.held.length = 0;
    expect([8, 5, 4].map((sequence) => lane.admits(at(sequence), 0))).toEqual([false, false, true]);
    lane.add(at(4));
    expect(lane.admits(at(7), 0)).toBe(false);
    expect(lane.admits(at(5), 0)).toBe(true);
  });

  it("sends away for the longer, the longer the first takes, and forgets what another replica has taken", () => {
    const lane = new Lane();
    lane.tries(0);
    for (const sequence of [1, 2, 3]) lane.add(at(sequence));
    expect(lane.sendAway(at(4), { now: 2_000 })).toBe(6_000);
    expect(lane.sendAway(at(4), { now: 60_000 })).toBe(16_000);
    lane.tried(60_000);
    lane.held.length = 0;
    expect(lane.isOver(76_000)).toBe(false);
    expect(lane.admits(at(9), 76_000)).toBe(false);
    expect(lane.admits(at(9), 90_000)).toBe(true);
    expect(lane.isOver(90_000)).toBe(true);
  });
});
