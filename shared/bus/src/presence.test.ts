import { aliveEveryMs, deadAfterMs } from "@sluice/contracts";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Bus } from "./bus.ts";
import { Presence } from "./presence.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watched() {
  let hear = (_message: { subject: string; data: Uint8Array }) => {};
  const bus = {
    connected: true,
    listen: (_subject: string, heard: typeof hear) => void (hear = heard),
    onReconnect: () => () => {},
  };
  const dead: string[] = [];
  const presence = new Presence(bus as unknown as Bus, "egress", (instance) => dead.push(instance));
  return { presence, dead, hear: (name: string) => hear({ subject: `alive.${name}`, data: new Uint8Array() }) };
}

it("takes for dead who is silent for too long, and nobody else", () => {
  const { presence, dead, hear } = watched();
  using _ = presence;
  hear("one");
  hear("two");
  for (let waited = 0; waited <= deadAfterMs; waited += aliveEveryMs) {
    hear("two");
    vi.advanceTimersByTime(aliveEveryMs);
  }
  expect(dead).toEqual(["one"]);
  expect(presence.count).toBe(1);
});

it("holds a stall of its own against nobody", () => {
  const { presence, dead, hear } = watched();
  using _ = presence;
  hear("one");
  vi.setSystemTime(Date.now() + 2 * deadAfterMs);
  vi.advanceTimersByTime(aliveEveryMs);
  expect(dead).toEqual([]);
  expect(presence.settled).toBe(false);
  vi.advanceTimersByTime(deadAfterMs + aliveEveryMs);
  expect(dead).toEqual(["one"]);
});

it("finds the dead though it stalls again and again", () => {
  const { presence, dead, hear } = watched();
  using _ = presence;
  hear("one");
  for (let stalls = 0; stalls < 6; stalls++) {
    vi.setSystemTime(Date.now() + 3 * aliveEveryMs);
    vi.advanceTimersByTime(aliveEveryMs);
  }
  expect(dead).toEqual(["one"]);
});
