import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import type { Principal } from "../tenants.ts";
import type { Answered, AuthMethod } from "./auth-method.ts";
import { Authentication } from "./authentication.ts";

const request = { headers: {} } as IncomingMessage;
const principalBy = (method: string): Principal => {
  return { tenant: "acme", agent: { id: `by-${method}` }, method, credential: "00" };
};
const methodOf = (name: string, answer: () => Answered): AuthMethod => {
  return { name, configure: () => {}, authenticate: answer, knows: ({ credential }) => credential === "00" };
};

describe("authentication", () => {
  it("answers at once where the methods do", () => {
    const all = new Authentication([methodOf("one", () => undefined), methodOf("two", () => principalBy("two"))]);
    expect(all.authenticate(request)).toMatchObject({ agent: { id: "by-two" } });
  });

  it("goes on to the next method where one that had to ask does not know the caller", async () => {
    const all = new Authentication([
      methodOf("one", async () => undefined),
      methodOf("two", () => principalBy("two")),
      methodOf("three", () => principalBy("three")),
    ]);
    expect(await all.authenticate(request)).toMatchObject({ agent: { id: "by-two" } });
  });

  it("is unauthorized where no method knows the caller, at once or later (A1)", async () => {
    const late = new Authentication([methodOf("one", async () => undefined)]);
    await expect(late.authenticate(request)).rejects.toMatchObject({ kind: "unauthorized" });
    expect(() => new Authentication([]).authenticate(request)).toThrow(/send a valid API key/);
  });

  it("knows a principal as long as its own method does, and until it expires", () => {
    const all = new Authentication([methodOf("one", () => undefined)]);
    const principal = { ...principalBy("one"), expiresAtMs: 1_000 };
    expect(all.knows(principal, 999)).toBe(true);
    expect(all.knows(principal, 1_000)).toBe(false);
    expect(all.knows({ ...principal, credential: "01" }, 999)).toBe(false);
    expect(all.knows({ ...principal, method: "two" }, 999)).toBe(false);
  });
});
