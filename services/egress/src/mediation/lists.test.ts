import { expect, test } from "vitest";
import { Lists, type View } from "./lists.ts";
import type { Peer } from "./peer.ts";
import type { Members } from "./rpc.ts";

const view: View = { tenant: "t", server: "s", url: "http://s/mcp", agent: "a-1", cacheMs: 60_000 };

/** Answers `tools/list` with these pages, and counts. */
function scripted(pages: readonly Members[]) {
  const state = { asked: 0 };
  const peer: Peer = {
    server: "s",
    about: () => Promise.resolve({ capabilities: { tools: {} }, serverInfo: {} }),
    request: () => Promise.resolve(pages[Math.min(state.asked++, pages.length - 1)] ?? {}),
    notify: () => Promise.resolve(),
    listen: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const withPeer = <T>(work: (peer: Peer) => Promise<T>) => work(peer);
  return { state, withPeer };
}

const tool = (name: string) => ({ name });

test("all pages are one list; a cursor that comes again ends it", async () => {
  const { state, withPeer } = scripted([
    { tools: [tool("one")], nextCursor: "1" },
    { tools: [tool("two")], nextCursor: "2" },
    { tools: [tool("three")], nextCursor: "1" },
  ]);
  const { items } = await new Lists().get(view, "tools", withPeer);
  expect(items).toEqual([tool("one"), tool("two"), tool("three")]);
  expect(state.asked).toBe(3);
});

test("a list is fetched once, also by many at the same time, until it is dropped; agents have their own", async () => {
  const { state, withPeer } = scripted([{ tools: [tool("one")] }]);
  const lists = new Lists();
  await Promise.all(Array.from({ length: 50 }, () => lists.get(view, "tools", withPeer)));
  await lists.get(view, "tools", withPeer);
  expect(state.asked).toBe(1);
  await lists.get({ ...view, agent: "a-2" }, "tools", withPeer);
  expect(state.asked).toBe(2);
  lists.drop({ tenant: "t", server: "s" }, "tools");
  await lists.get(view, "tools", withPeer);
  expect(state.asked).toBe(3);
});

test("a public list is everybody's; one that has no time to live is nobody's", async () => {
  const open = scripted([{ tools: [], cacheScope: "public", ttlMs: 60_000 }]);
  const lists = new Lists();
  await lists.get(view, "tools", open.withPeer);
  await lists.get({ ...view, agent: "a-2" }, "tools", open.withPeer);
  expect(open.state.asked).toBe(1);
  const fleeting = scripted([{ tools: [], ttlMs: 0 }]);
  await lists.get({ ...view, server: "other" }, "tools", fleeting.withPeer);
  await lists.get({ ...view, server: "other" }, "tools", fleeting.withPeer);
  expect(fleeting.state.asked).toBe(2);
});

test("a failure is not kept", async () => {
  const lists = new Lists();
  const broken = scripted([{ nothing: true }]);
  await expect(lists.get(view, "tools", broken.withPeer)).rejects.toThrow(/has no list/);
  const mended = scripted([{ tools: [tool("one")] }]);
  expect((await lists.get(view, "tools", mended.withPeer)).items).toEqual([tool("one")]);
});

test("an upstream without the capability is not asked", async () => {
  const { state, withPeer } = scripted([{ prompts: [] }]);
  expect((await new Lists().get(view, "prompts", withPeer)).items).toEqual([]);
  expect(state.asked).toBe(0);
});
