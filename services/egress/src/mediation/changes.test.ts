import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Changes } from "./changes.ts";

const place = { tenant: "t", server: "s" };
const changed = "notifications/tools/list_changed";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function started() {
  const told: string[] = [];
  const dropped: string[][] = [];
  const bus = { instance: "i", connected: true, tell: (subject: string) => void told.push(subject) };
  const changes = new Changes(bus, (_place, lists) => void dropped.push(lists));
  return { changes, told, dropped };
}

test("a storm of changes is one word to the other replicas and to each listener; what is kept goes at once", async () => {
  const { changes, told, dropped } = started();
  const heard: string[] = [];
  changes.watch(place, (method) => void heard.push(method));
  changes.say(place, changed);
  expect(dropped).toEqual([["tools"]]);
  for (let at = 1; at < 1_000; at++) changes.say(place, changed);
  changes.say(place, "notifications/message");
  changes.say({ ...place, server: "other" }, changed);
  await vi.runAllTimersAsync();
  expect(told).toHaveLength(2);
  expect(heard).toEqual([changed]);
  changes.say(place, changed);
  await vi.runAllTimersAsync();
  expect(told).toHaveLength(3);
  expect(heard).toHaveLength(2);
});

test("another replica's word is heeded and not told again; one's own is known already", async () => {
  const { changes, told, dropped } = started();
  const heard: string[] = [];
  changes.watch(place, (method) => void heard.push(method));
  changes.heed({ ...place, method: changed, by: "i" });
  expect(dropped).toEqual([]);
  changes.heed({ ...place, method: changed, by: "other" });
  await vi.runAllTimersAsync();
  expect(dropped).toEqual([["tools"]]);
  expect(heard).toEqual([changed]);
  expect(told).toEqual([]);
});
