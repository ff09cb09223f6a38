import { expect, test } from "vitest";
import { Lists } from "./lists.ts";
import type { Peer } from "./peer.ts";
import { Route, type RouteOptions } from "./route.ts";

/** Two servers that both have `echo`, the second `only` too; each can be down. */
function tenant(mode: RouteOptions["mode"], unusable: readonly string[] = []) {
  const lists = new Lists();
  const down = new Set<string>();
  const asked: string[] = [];
  const acted: (string | undefined)[] = [];
  const tools: Record<string, string[]> = { one: ["echo"], two: ["echo", "only"] };
  const late: RouteOptions["late"] = new Map();
  const route = (decided?: string) =>
    new Route({
      note: () => {},
      servers: ["one", "two", ...unusable],
      isMerged: true,
      decided,
      mode,
      lists,
      late,
      tenant: "t",
      gate: { enforces: () => false, shows: () => true, requireUsable: () => Promise.resolve(undefined) },
      onDefinition: () => {},
      onTarget: (server) => acted.push(server),
      viewOf: (server) =>
        unusable.includes(server)
          ? undefined
          : { tenant: "t", server, url: server, identity: "a", shown: "", cacheMs: 60_000 },
      mayUse: (_kind, names) => Promise.resolve(names.map(() => true)),
      withPeer: (server, _sink, work) => {
        if (down.has(server)) return Promise.reject(new Error(`${server} is down`));
        asked.push(server);
        const peer: Peer = {
          server,
          about: () => Promise.resolve({ capabilities: { tools: {} }, serverInfo: {} }),
          request: () => Promise.resolve({ tools: (tools[server] ?? []).map((name) => ({ name })) }),
          notify: () => Promise.resolve(),
          listen: () => Promise.resolve(),
          close: () => Promise.resolve(),
        };
        return work(peer);
      },
    });
  const fail = (server: string) => {
    down.add(server);
    lists.drop({ tenant: "t", server });
  };
  return { route, fail, asked, acted };
}

test("a name that was the first server's is not the second's while the first is down", async () => {
  const { route, fail } = tenant("never");
  expect(await route().resolve("tools", "echo")).toEqual({ server: "one", own: "echo" });
  expect(await route().resolve("tools", "only")).toEqual({ server: "two", own: "only" });
  fail("one");
  expect(await route().resolve("tools", "echo")).toEqual({ server: "one", own: "echo" });
  const { exposed, statuses } = await route().list("tools");
  expect(exposed.map(({ name }) => name)).toEqual(["only"]);
  expect(statuses).toEqual({ one: "unavailable", two: "ok" });
});

test("a name that collides keeps its prefix while the other holder is down", async () => {
  const { route, fail } = tenant("conditional");
  const names = async () => (await route().list("tools")).exposed.map(({ name }) => name);
  expect(await names()).toEqual(["one_echo", "two_echo", "only"]);
  fail("one");
  expect(await names()).toEqual(["two_echo", "only"]);
  expect(await route().resolve("tools", "echo")).toBeUndefined();
});

test("a server that cannot be used empties nobody's list", async () => {
  const { route } = tenant("never", ["closed"]);
  const { exposed, statuses } = await route().list("tools");
  expect(exposed.map(({ name }) => name)).toEqual(["echo", "only"]);
  expect(statuses).toEqual({ one: "ok", two: "ok", closed: "unavailable" });
  expect(await route().resolve("tools", "only")).toEqual({ server: "two", own: "only" });
});

test("whose a name is, is found out once per call", async () => {
  const { route, asked } = tenant("conditional");
  const one = route();
  const [first, second] = [one.resolve("tools", "only"), one.resolve("tools", "only")];
  expect(await first).toBe(await second);
  expect(asked.filter((server) => server === "two")).toHaveLength(2);
});

test("which server a call acts on is told, and only where policy decided about what its name means", async () => {
  const { route, acted } = tenant("conditional");
  expect(await route("only").target("tools", "only")).toEqual({ server: "two", own: "only" });
  expect(acted).toEqual(["two"]);
  expect(await route("echo").target("tools", "only")).toBeUndefined();
  await route("only").list("tools");
  expect(acted).toEqual(["two"]);
});
