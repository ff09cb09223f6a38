import type { Dialect } from "@sluice/contracts";
import { describe, expect, it, test } from "vitest";
import { interfaceFor, pathOf } from "./agent-interface.ts";
import { offeredInterfaces } from "./offered-interfaces.ts";

const cardUrl = "https://planner.example/.well-known/agent-card.json";
const usableOf = (card: Record<string, unknown>) =>
  offeredInterfaces(card, cardUrl).usable.map(({ dialect: { version, binding }, path, tenant }) =>
    [version, binding, path, tenant].filter((one) => one !== undefined).join(" "),
  );

describe("what a card offers", () => {
  it.each<[string, Record<string, unknown>, string[]]>([
    [
      "of 0.1 is its one address",
      { url: "https://planner.example/rpc", authentication: { schemes: ["bearer"] }, capabilities: {} },
      ["0.1 JSONRPC /rpc"],
    ],
    ["of early 0.2 is its one address", { url: "https://planner.example/rpc", security: [] }, ["0.2 JSONRPC /rpc"]],
    [
      "of 0.2 has no HTTP+JSON",
      { protocolVersion: "0.2.6", preferredTransport: "HTTP+JSON", url: "https://planner.example/" },
      [],
    ],
    [
      "of 0.3 is the preferred transport and the others, but for gRPC",
      {
        protocolVersion: "0.3.0",
        url: "https://planner.example/grpc",
        preferredTransport: "GRPC",
        additionalInterfaces: [
          { url: "https://planner.example/rest", transport: "HTTP+JSON" },
          { url: "https://planner.example/rpc?x=1", transport: "JSONRPC" },
        ],
      },
      ["0.3 HTTP+JSON /rest", "0.3 JSONRPC /rpc?x=1"],
    ],
    [
      "of 1.0 is told per interface, its tenant too",
      {
        supportedInterfaces: [
          { url: "https://planner.example/a", protocolBinding: "JSONRPC", protocolVersion: "1.0.1", tenant: "t" },
          { url: "https://planner.example/b", protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
          { url: "https://planner.example/c", protocolBinding: "JSONRPC", protocolVersion: "0.3" },
          { url: "https://planner.example/d", protocolBinding: "GRPC", protocolVersion: "1.0" },
          { url: "https://planner.example/e", protocolBinding: "JSONRPC", protocolVersion: "2.0" },
        ],
      },
      ["1.0 JSONRPC /a t", "1.0 HTTP+JSON /b", "0.3 JSONRPC /c"],
    ],
    [
      "of 1.0 with the words of 0.3 beside them is both",
      {
        protocolVersion: "0.3.0",
        url: "https://planner.example/old",
        supportedInterfaces: [
          { url: "https://planner.example/new", protocolBinding: "JSONRPC", protocolVersion: "1.0" },
        ],
      },
      ["1.0 JSONRPC /new", "0.3 JSONRPC /old"],
    ],
    ["that says nothing usable is nothing", { url: 7, supportedInterfaces: ["x", null], additionalInterfaces: {} }, []],
  ])("%s", (_title, card, expected) => {
    expect(usableOf(card)).toEqual(expected);
  });

  it("counts only at the card's own origin", () => {
    const one = (url: string, protocolBinding = "JSONRPC") => ({ url, protocolBinding, protocolVersion: "1.0" });
    const card = {
      supportedInterfaces: [
        one("https://elsewhere.example/rpc"),
        one("http://planner.example/rpc"),
        one("https://planner.example:8443/rpc"),
        one("https://planner.example@elsewhere.example/rpc"),
        one("file:///etc/passwd"),
        one("https://planner.example/rest", "HTTP+JSON"),
      ],
    };
    const { usable, elsewhere } = offeredInterfaces(card, cardUrl);
    expect(usable.map(({ path }) => path)).toEqual(["/rest"]);
    expect(elsewhere).toEqual([
      "https://elsewhere.example",
      "http://planner.example",
      "https://planner.example:8443",
      "null",
    ]);
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

test("a path stands below the interface's address, and the queries joined; JSON-RPC has one address", () => {
  const rest = { version: "1.0", binding: "HTTP+JSON" } as const;
  expect(pathOf({ dialect: rest, path: "/" }, "/message:send")).toBe("/message:send");
  expect(pathOf({ dialect: rest, path: "/a2a/?key=1" }, "/tasks/7?historyLength=2")).toBe(
    "/a2a/tasks/7?key=1&historyLength=2",
  );
  expect(pathOf({ dialect: rest, path: "/a2a?x=1" }, "/tasks?a=b?c=d&y=2")).toBe("/a2a/tasks?x=1&a=b?c=d&y=2");
  expect(pathOf({ dialect: { version: "1.0", binding: "JSONRPC" }, path: "/rpc/?x=1" }, "")).toBe("/rpc/?x=1");
});
