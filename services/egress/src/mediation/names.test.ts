import fc from "fast-check";
import { expect, test } from "vitest";
import { listKinds, Names, type ListKind, type PrefixMode } from "./names.ts";

const servers = ["a", "b-1", "tools"];
const modes: PrefixMode[] = ["always", "conditional", "never"];
const kinds = Object.keys(listKinds) as ListKind[];
const own = fc.oneof(
  fc.constantFrom("echo", "a_echo", "b-1_x", "tools", "a_", "_a", "a+x", "tools+file:///x", "A_echo", "__proto__"),
  fc.string({ maxLength: 8 }),
);
const listed = fc.tuple(
  ...servers.map((server) => fc.array(own, { maxLength: 5 }).map((names) => ({ server, names }))),
);

const itemsOf = (kind: ListKind, names: readonly string[]) => names.map((name) => ({ [listKinds[kind].member]: name }));

test("every name is shown once, and means to policy what its own server calls it", () => {
  fc.assert(
    fc.property(fc.constantFrom(...modes), fc.constantFrom(...kinds), listed, (mode, kind, lists) => {
      const names = new Names(mode, servers);
      const exposed = names.expose(
        kind,
        lists.map(({ server, names: of }) => ({ server, items: itemsOf(kind, of) })),
      );
      expect(new Set(exposed.map(({ name }) => name)).size).toBe(exposed.length);
      for (const { name, server, own: called } of exposed) {
        const said = names.split(kind, name);
        if (said === undefined) expect(called).toBe(name);
        else expect(said).toEqual({ server, own: called });
      }
    }),
  );
});

test("nothing that a server lists is lost but what another has already where names are never prefixed", () => {
  fc.assert(
    fc.property(fc.constantFrom("always" as const, "conditional" as const), listed, (mode, lists) => {
      const exposed = new Names(mode, servers).expose(
        "tools",
        lists.map(({ server, names }) => ({ server, items: itemsOf("tools", names) })),
      );
      const shown = exposed.map(({ server, own: called }) => `${server} ${called}`);
      const had = lists.flatMap(({ server, names }) => [...new Set(names)].map((name) => `${server} ${name}`));
      expect(new Set(shown)).toEqual(new Set(had));
    }),
  );
});

test("an item keeps everything but its name", () => {
  const item = { name: "echo", "x-unknown": { deep: [1] } };
  const [shown] = new Names("always", ["a", "b"]).expose("tools", [{ server: "a", items: [item] }]);
  expect(shown?.item).toEqual({ ...item, name: "a_echo" });
});
