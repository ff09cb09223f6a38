import { expect, it } from "vitest";
import { identityOf } from "./caller-identity.ts";

const agent = { id: "a-1" };

it("callers that differ in agent, name, owner, issuer or user are different, and nothing else makes a difference", () => {
  const callers = [
    { agent },
    { agent: { id: "a-2" } },
    { agent: { ...agent, name: "x" } },
    { agent: { ...agent, owner: "x" } },
    { agent, issuer: "x" },
    { agent, user: "x" },
    { agent, user: "" },
    { agent: { id: 'a-1",null' } },
  ];
  expect(new Set(callers.map(identityOf)).size).toBe(callers.length);
  expect(identityOf({ agent, scopes: ["s"] } as Parameters<typeof identityOf>[0])).toBe(identityOf({ agent }));
  expect(identityOf({ agent })).toMatch(/^[A-Za-z0-9_-]{22}$/);
});
