import { expect, test } from "vitest";
import { Lists, type View } from "./lists.ts";
import type { Peer } from "./peer.ts";
import type { Members } from "./rpc.ts";

const view: View = { tenant: "t", server: "s", url: "http://s/mcp", identity: "a-1", shown: "", cacheMs: 60_000 };

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
  await lists.get({ ...view, identity: "a-2" }, "tools", withPeer);
  expect(state.asked).toBe(2);
  lists.drop({ tenant: "t", server: "s" }, "tools");
  await lists.get(view, "tools", withPeer);
  expect(state.asked).toBe(3);
});

test("a public list is everybody's; one that has no time to live is nobody's", async () => {
  const open = scripted([{ tools: [], cacheScope: "public", ttlMs: 60_000 }]);
  const lists = new Lists();
  await lists.get(view, "tools", open.withPeer);
  await lists.get({ ...view, identity: "a-2" }, "tools", open.withPeer);
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

test("callers that an upstream can tell apart have their own lists, though it is one agent", async () => {
  const { state, withPeer } = scripted([{ tools: [tool("of alice")] }, { tools: [tool("of bob")] }]);
  const lists = new Lists();
  const names = async (shown: string) =>
    (await lists.get({ ...view, shown }, "tools", withPeer)).items.map(({ name }) => name);
  expect(await names("alice")).toEqual(["of alice"]);
  expect(await names("bob")).toEqual(["of bob"]);
  expect(await names("alice")).toEqual(["of alice"]);
  expect(state.asked).toBe(2);
});

test("a public list that came while it changed is nobody's", async () => {
  const first = Promise.withResolvers<Members>();
  const { state, withPeer } = scripted([]);
  const answers = [first.promise, Promise.resolve({ tools: [tool("new")], cacheScope: "public" })];
  const slow = <T>(work: (peer: Peer) => Promise<T>) =>
    withPeer((peer) => work({ ...peer, request: () => answers[state.asked++] ?? first.promise }));
  const lists = new Lists();
  const old = lists.get(view, "tools", slow);
  while (state.asked === 0) await Promise.resolve();
  lists.drop({ tenant: "t", server: "s" }, "tools");
  first.resolve({ tools: [tool("old")], cacheScope: "public" });
  await old;
  expect((await lists.get({ ...view, identity: "a-2" }, "tools", slow)).items).toEqual([tool("new")]);
});

test("what a server listed last is known beyond its time, by name alone", async () => {
  const { withPeer } = scripted([{ tools: [{ ...tool("one"), inputSchema: {} }], ttlMs: 0 }]);
  const lists = new Lists();
  expect(lists.last(view, "tools")).toBeUndefined();
  await lists.get(view, "tools", withPeer);
  lists.drop({ tenant: "t", server: "s" }, "tools");
  expect(lists.last(view, "tools")).toEqual([tool("one")]);
  expect(lists.last({ ...view, identity: "a-2" }, "tools")).toBeUndefined();
});

test("an agent that varies what it says of itself pushes out its own lists, not another's", async () => {
  const { state, withPeer } = scripted([{ tools: [tool("one")] }]);
  const lists = new Lists();
  await lists.get({ ...view, identity: "a-2" }, "tools", withPeer);
  for (let at = 0; at < 3_000; at++) await lists.get({ ...view, shown: `s-${at}` }, "tools", withPeer);
  await lists.get({ ...view, identity: "a-2" }, "tools", withPeer);
  expect(state.asked).toBe(3_001);
});

test("a list of more pages than are read is refused, not cut", async () => {
  let page = 0;
  const { withPeer } = scripted([]);
  const endless = <T>(work: (peer: Peer) => Promise<T>) =>
    withPeer((peer) =>
      work({ ...peer, request: () => Promise.resolve({ tools: [tool("one")], nextCursor: String(page++) }) }),
    );
  await expect(new Lists().get(view, "tools", endless)).rejects.toThrow(/more than 200 pages/);
});
