import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { SignJWT } from "jose";
import { MockAgent } from "undici";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { IssuerKeys } from "./issuer-keys.ts";

const issuer = "https://as.example";
const pairs = Object.fromEntries(
  ["one", "two"].map((kid) => [kid, generateKeyPairSync("ec", { namedCurve: "P-256" })]),
);
const publicJwk = (kid: string) => ({ ...pairs[kid]?.publicKey.export({ format: "jwk" }), kid, alg: "ES256" });
const sign = (kid: string, header: { kid?: string } = { kid }) =>
  new SignJWT({ client_id: "a-1" })
    .setProtectedHeader({ alg: "ES256", typ: "at+jwt", ...header })
    .setIssuer(issuer)
    .setExpirationTime("2h")
    .sign(pairs[kid]?.privateKey as KeyObject);

let agent: MockAgent;
let fetched: number;
let served: readonly string[] | "broken";
let problems: string[];
let keys: IssuerKeys;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "performance"] });
  agent = new MockAgent();
  agent.disableNetConnect();
  fetched = 0;
  served = ["one"];
  problems = [];
  agent
    .get(issuer)
    .intercept({ path: "/jwks", method: "GET" })
    .reply(() => {
      fetched++;
      return served === "broken"
        ? { statusCode: 500, data: "{}" }
        : { statusCode: 200, data: JSON.stringify({ keys: served.map(publicJwk) }) };
    })
    .persist();
  const report = (problem: string) => problems.push(problem);
  keys = new IssuerKeys({ issuer, jwksUrl: `${issuer}/jwks`, reach: () => agent, report });
});
afterEach(async () => {
  vi.useRealTimers();
  await agent.close();
});

const pass = (ms: number) => vi.advanceTimersByTime(ms);

describe("the keys of an issuer", () => {
  it("are fetched once for all who need them, and serve for ten minutes and no longer (A3)", async () => {
    const token = await sign("one");
    const proven = await Promise.all([keys.verify(token), keys.verify(token), keys.verify(token)]);
    expect(proven.map((one) => one?.claims["client_id"])).toEqual(["a-1", "a-1", "a-1"]);
    expect(fetched).toBe(1);
    served = "broken";
    pass(599_000);
    expect(await keys.verify(token)).toBeDefined();
    pass(2_000);
    await expect(keys.verify(token)).rejects.toMatchObject({ kind: "upstream_unavailable" });
    expect(problems).toEqual([`keys of ${issuer}: it answered 500`]);
  });

  it("are fetched anew for one that is not known, and not again for a while", async () => {
    await keys.verify(await sign("one"));
    served = ["one", "two"];
    expect(await keys.verify(await sign("two"))).toBeUndefined();
    expect(fetched).toBe(1);
    pass(11_000);
    expect(await keys.verify(await sign("two"))).toBeDefined();
    expect(fetched).toBe(2);
    for (let times = 0; times < 5; times++)
      expect(await keys.verify(await sign("one", { kid: "three" }))).toBeUndefined();
    expect(fetched).toBe(2);
  });

  it("that were taken back do not serve when they were fetched again", async () => {
    const token = await sign("one");
    expect(await keys.verify(token)).toBeDefined();
    served = ["two"];
    pass(601_000);
    expect(await keys.verify(token)).toBeUndefined();
  });

  it("that cannot be had are not asked for again within a second", async () => {
    served = "broken";
    const token = await sign("one");
    for (let times = 0; times < 3; times++) await expect(keys.verify(token)).rejects.toThrow(/cannot be had/);
    expect(fetched).toBe(1);
    served = ["one"];
    pass(1_100);
    expect(await keys.verify(token)).toBeDefined();
  });

  it("are all tried where the token does not name one", async () => {
    served = ["one", "two"];
    expect(await keys.verify(await sign("two", {}))).toBeDefined();
    expect(await keys.verify("e30.e30.e30")).toBeUndefined();
  });
});
