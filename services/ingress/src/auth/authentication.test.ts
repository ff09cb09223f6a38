import type { IncomingMessage } from "node:http";
import type { IngressSection } from "@sluice/contracts";
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

  it("asks for an access token too where a tenant takes those", () => {
    const all = new Authentication([]);
    const section = (oauth2: readonly object[]) => ({ keyHeaders: [], oauth2 }) as unknown as IngressSection;
    all.configure(new Map([["acme", section([])]]));
    expect(() => all.authenticate(request)).toThrow(/as Authorization: Bearer$/);
    all.configure(
      new Map([
        ["acme", section([])],
        ["beta", section([{}])],
      ]),
    );
    expect(() => all.authenticate(request)).toThrow(/, or a valid access token as the latter$/);
  });

  it("knows a principal as long as its own method does, and until it expires", () => {
    const all = new Authentication([methodOf("one", () => undefined)]);
    const principal = { ...principalBy("one"), expiresAtMs: 1_000 };
    expect(all.knows(principal, 999)).toBe(true);
    expect(all.knows(principal, 1_000)).toBe(false);
    expect(all.knows({ ...principal, credential: "01" }, 999)).toBe(false);
    expect(all.knows({ ...principal, method: "two" }, 999)).toBe(false);
  });

  it("of a token beside a key wants each of them good by itself, and both of one agent (A1)", async () => {
    const by = (name: string, header: string, known: Record<string, string>): AuthMethod => ({
      ...methodOf(name, () => undefined),
      authenticate: ({ headers }) => {
        const id = known[String(headers[header])];
        return id === undefined ? undefined : { ...principalBy(name), agent: { id } };
      },
    });
    const all = new Authentication([
      by("key", "x-key", { "key-1": "a-1", "key-2": "a-2" }),
      by("token", "authorization", { "Bearer token-1": "a-1" }),
    ]);
    all.configure(new Map([["acme", { keyHeaders: ["x-key"], oauth2: [] } as unknown as IngressSection]]));
    const ask = async (headers: IncomingMessage["headers"]) => await all.authenticate({ headers } as IncomingMessage);
    expect(all.authenticate({ headers: { "x-key": "key-1" } } as unknown as IncomingMessage)).not.toBeInstanceOf(
      Promise,
    );
    expect(await ask({ "x-key": "key-1", authorization: "Bearer token-1" })).toMatchObject({ agent: { id: "a-1" } });
    expect(await ask({ "x-key": "key-1", authorization: "Basic YTpi" })).toMatchObject({ agent: { id: "a-1" } });
    expect(await ask({ "x-other": "what", authorization: "Bearer token-1" })).toMatchObject({ agent: { id: "a-1" } });
    for (const headers of [
      { "x-key": "key-1", authorization: "Bearer garbage" },
      { "x-key": "key-1", authorization: "Bearer of two words" },
      { "x-key": "key-1", authorization: "bearer" },
      { "x-key": "key-2", authorization: "Bearer token-1" },
      { "x-key": "garbage", authorization: "Bearer token-1" },
    ])
      await expect(ask(headers), JSON.stringify(headers)).rejects.toMatchObject({ kind: "unauthorized" });
  });
});
