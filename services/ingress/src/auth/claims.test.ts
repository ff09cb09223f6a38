import { describe, expect, it } from "vitest";
import { claimAt, identityReader, scopesIn, type Claims } from "./claims.ts";

const claims: Claims = {
  agent_id: "sentinel-7",
  "https://x.example/owner": "ops",
  realm: { access: { id: "deep-1" } },
  list: ["a"],
};

describe("the way to a claim", () => {
  it.each([
    ["agent_id", "sentinel-7"],
    ["#[vars.tokenClaims.agent_id]", "sentinel-7"],
    ["realm.access.id", "deep-1"],
    ["#[vars.tokenClaims.realm.access.id]", "deep-1"],
    ["https://x.example/owner", "ops"],
    ["realm.none.id", undefined],
    ["list.length", 1],
    ["agent_id.length", undefined],
    ["__proto__", undefined],
    ["constructor.name", undefined],
    ["realm.__proto__", undefined],
  ])("%s", (written, expected) => {
    expect(claimAt(written)(claims)).toBe(expected);
  });
});

describe("who calls, in claims", () => {
  const read = identityReader({ agentId: "id", agentName: "name", agentOwner: "owner", user: "sub" });

  it("is an agent, and a user where that is somebody else", () => {
    expect(read({ id: "a-1", name: "Nö", owner: "ops", sub: "ada" })).toEqual({
      agent: { id: "a-1", name: "Nö", owner: "ops" },
      user: "ada",
    });
    expect(read({ id: "a-1", sub: "a-1" })).toEqual({ agent: { id: "a-1" } });
  });

  it.each([undefined, null, 7, "", "a b", "a\n", "ä", "x".repeat(129), ["a-1"], { id: "a-1" }])(
    "is nobody where the id is %j",
    (id) => expect(read({ id })).toBeUndefined(),
  );

  it("leaves out what is no text that can be passed on", () => {
    for (const name of [7, "", "a\r\nb", "\0", "x".repeat(257), "\ud800", ["x"]])
      expect(read({ id: "a-1", name, owner: name, sub: name })).toEqual({ agent: { id: "a-1" } });
  });
});

it("scopes are taken from scope and scp, as text or as a list", () => {
  expect(scopesIn({ scope: "a  b" })).toEqual(["a", "b"]);
  expect(scopesIn({ scp: ["a", 7, "b"] })).toEqual(["a", "b"]);
  expect(scopesIn({ scope: "a", scp: "b" })).toEqual(["a", "b"]);
  expect(scopesIn({ scope: 7 })).toEqual([]);
});
