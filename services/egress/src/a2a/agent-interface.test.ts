import type { Dialect } from "@sluice/contracts";
import { describe, expect, it, test } from "vitest";
import { readCard } from "@sluice/a2a";
import { interfaceFor, offeredBy, pathOf } from "./agent-interface.ts";

const origin = "https://planner.example";
describe("what a card offers", () => {
  it("counts only at the card's own origin", () => {
    const one = (url: string, protocolBinding = "JSONRPC") => ({ url, protocolBinding, protocolVersion: "1.0" });
    const supportedInterfaces = [
      one("https://elsewhere.example/rpc"),
      one("https://planner.example@elsewhere.example/rpc", "HTTP+JSON"),
      { ...one("http://planner.example/rpc"), protocolVersion: "0.3" },
      { ...one("https://planner.example:8443/rpc"), protocolVersion: "0.2" },
      { ...one("https://planner.example/rest?x=1", "HTTP+JSON"), protocolVersion: "0.3", tenant: "t" },
    ];
    const card = readCard(Buffer.from(JSON.stringify({ name: "planner", supportedInterfaces })));
    expect(offeredBy(card, origin)).toEqual({
      usable: [{ dialect: { version: "0.3", binding: "HTTP+JSON" }, path: "/rest?x=1", tenant: "t" }],
      elsewhere: ["https://elsewhere.example", "http://planner.example", "https://planner.example:8443"],
    });
  });
});

describe("the interface that is spoken to", () => {
  const at = (version: Dialect["version"], binding: Dialect["binding"]) => ({
    dialect: { version, binding },
    path: "/",
  });
  const all = [at("0.3", "JSONRPC"), at("1.0", "JSONRPC"), at("0.3", "HTTP+JSON"), at("1.0", "HTTP+JSON")];

  it.each(all)("is the client's own where there is one: $dialect.version $dialect.binding", ({ dialect }) => {
    expect(interfaceFor(dialect, all)?.dialect).toEqual(dialect);
  });

  it("is else the newest, in the client's binding where it can be", () => {
    expect(interfaceFor({ version: "0.1", binding: "JSONRPC" }, all)?.dialect).toEqual(at("1.0", "JSONRPC").dialect);
    expect(interfaceFor({ version: "0.2", binding: "JSONRPC" }, all.slice(2))?.dialect).toEqual(
      at("1.0", "HTTP+JSON").dialect,
    );
    expect(interfaceFor({ version: "1.0", binding: "HTTP+JSON" }, all.slice(0, 1))?.dialect).toEqual(
      at("0.3", "JSONRPC").dialect,
    );
    expect(interfaceFor({ version: "1.0", binding: "JSONRPC" }, [])).toBeUndefined();
  });
});

test("a path stands below the interface's address, its tenant between them and the queries joined; JSON-RPC has one address", () => {
  const rest = { version: "1.0", binding: "HTTP+JSON" } as const;
  expect(pathOf({ dialect: rest, path: "/" }, "/message:send")).toBe("/message:send");
  expect(pathOf({ dialect: rest, path: "/a2a/?key=1" }, "/tasks/7?historyLength=2")).toBe(
    "/a2a/tasks/7?key=1&historyLength=2",
  );
  expect(pathOf({ dialect: rest, path: "/a2a", tenant: "a/b" }, "/tasks")).toBe("/a2a/a%2Fb/tasks");
  expect(pathOf({ dialect: { version: "1.0", binding: "JSONRPC" }, path: "/rpc/?x=1" }, "")).toBe("/rpc/?x=1");
});
