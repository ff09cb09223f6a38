import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { credentialHash, credentialText, Fault, type Credential, type IngressSection } from "@sluice/contracts";
import { createLog } from "@sluice/telemetry";
import { afterEach, beforeEach, describe, expect, it, vi, type Mock } from "vitest";
import { requireScopes } from "../reach.ts";
import type { Principal } from "../tenants.ts";
import { apiKey } from "./api-key.ts";
import { gatewayToken } from "./gateway-token.ts";
import { Issued } from "./issued.ts";

const keyText = credentialText("key", "00000000000000aa", randomBytes(32));
const tokenText = credentialText("token", "00000000000000bb", randomBytes(32));
const key: Credential = {
  id: "00000000000000aa",
  kind: "key",
  hash: credentialHash(keyText),
  tenant: "acme",
  agent: { id: "a-1" },
  listed: true,
  createdAtMs: 0,
  createdBy: "admin",
};
const token: Credential = {
  ...key,
  id: "00000000000000bb",
  kind: "token",
  hash: credentialHash(tokenText),
  agent: { id: "run-7", name: "Run" },
  listed: false,
  scopes: ["mcp:tools:invoke"],
  user: "alice",
  expiresAtMs: 10_000,
};
const held = (credential: Credential, revision = 1) => ({ credential, revision });

let now: number;
let changed: Mock<() => void>;
let issued: Issued;

const sections = (tenant: Partial<IngressSection>) => {
  const section = {
    version: 1,
    keyHeaders: ["x-key"],
    keys: {},
    oauth2: [],
    agents: [{ id: "a-1", name: "One" }],
    ...tenant,
  };
  return new Map([["acme", section as IngressSection]]);
};

beforeEach(() => {
  now = 1_000;
  changed = vi.fn<() => void>();
  issued = new Issued({ log: createLog("test", "silent"), changed, clock: () => now });
  issued.configure(sections({}));
  issued.all(new Map([key, token].map((credential) => [credential.id, held(credential)])));
});
afterEach(() => issued[Symbol.dispose]());

const keyOwner = () => issued.find("key", key.hash)?.agent;

describe("a credential that control made", () => {
  it("stands for the agent as tenants.yaml has it, and for nobody once the agent is gone from it or the tenant takes no keys", () => {
    expect(keyOwner()).toEqual({ id: "a-1", name: "One" });
    issued.configure(sections({ agents: [{ id: "a-1", name: "Renamed" }] }));
    expect(keyOwner()).toEqual({ id: "a-1", name: "Renamed" });
    issued.configure(sections({ agents: [] }));
    expect(keyOwner()).toBeUndefined();
    issued.configure(sections({ keyHeaders: [] }));
    expect(keyOwner()).toBeUndefined();
    issued.configure(new Map());
    expect(issued.find("token", token.hash)).toBeUndefined();
  });

  it("that was made with scopes is held to those that the tenant wants of tokens, and one without is not", () => {
    const oauth2 = [{ requiredScopes: ["s-1"] }, { requiredScopes: { mcp: ["s-2"], a2a: [] } }];
    issued.configure(sections({ oauth2: oauth2 as unknown as IngressSection["oauth2"] }));
    const find = (kind: "key" | "token", { hash }: Credential) => issued.find(kind, hash) as Principal;
    expect(() => requireScopes(find("key", key), "mcp")).not.toThrow();
    expect(() => requireScopes(find("token", token), "mcp")).toThrow(/needs the scope s-1 s-2/);
    issued.changed(held({ ...token, scopes: ["s-1"] }, 2));
    expect(() => requireScopes(find("token", token), "mcp")).toThrow(Fault);
    expect(() => requireScopes(find("token", token), "a2a")).not.toThrow();
    issued.changed(held({ ...token, scopes: ["s-2", "s-1"] }, 3));
    expect(() => requireScopes(find("token", token), "mcp")).not.toThrow();
    issued.changed(held({ ...token, scopes: [] }, 4));
    expect(() => requireScopes(find("token", token), "mcp")).toThrow(Fault);
  });

  it("is nothing of another kind: a token is no key", () => {
    expect(issued.find("key", token.hash)).toBeUndefined();
    expect(issued.find("token", key.hash)).toBeUndefined();
  });

  it("that is taken away or expires is good no more, and it is told", async () => {
    issued.removed(key.id);
    expect(keyOwner()).toBeUndefined();
    now = 9_999;
    expect(issued.find("token", token.hash)).toMatchObject({ user: "alice", scopes: ["mcp:tools:invoke"] });
    now = 10_000;
    expect(issued.find("token", token.hash)).toBeUndefined();
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    changed.mockClear();
    issued.dropExpired();
    await vi.waitFor(() => expect(changed).toHaveBeenCalledOnce());
  });

  it("whose end is moved, as by rotation, is good until then, and it is told at that time", async () => {
    issued.changed(held({ ...key, expiresAtMs: 5_000 }, 2));
    issued.dropExpired();
    expect(keyOwner()).toBeDefined();
    now = 5_000;
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    changed.mockClear();
    issued.dropExpired();
    expect(keyOwner()).toBeUndefined();
    await vi.waitFor(() => expect(changed).toHaveBeenCalledOnce());
  });

  it("that is missing after everything was read anew was taken away meanwhile", () => {
    issued.all(new Map([[token.id, held(token)]]));
    expect(keyOwner()).toBeUndefined();
    expect(issued.find("token", token.hash)).toBeDefined();
  });
});

describe("a gateway token", () => {
  const by = (headers: Record<string, string>) => {
    const method = gatewayToken({ issued });
    method.configure(sections({}));
    return method.authenticate({ headers } as IncomingMessage);
  };

  it("is taken as a bearer token and nowhere else, and by no other method", () => {
    expect(by({ authorization: `Bearer ${tokenText}` })).toMatchObject({ agent: { id: "run-7" }, expiresAtMs: 10_000 });
    expect(by({ "x-key": tokenText })).toBeUndefined();
    expect(by({ authorization: `Bearer ${keyText}` })).toBeUndefined();
    expect(by({ authorization: `Basic ${tokenText}` })).toBeUndefined();
    const keys = apiKey({ issued });
    keys.configure(sections({}));
    const headers = { authorization: `Bearer ${tokenText}`, "x-key": tokenText };
    expect(keys.authenticate({ headers } as unknown as IncomingMessage)).toBeUndefined();
  });

  it("that is not good any more is refused, and so is a key: neither is shown to whoever else verifies credentials", () => {
    issued.removed(token.id);
    issued.removed(key.id);
    expect(() => by({ authorization: `Bearer ${tokenText}` })).toThrow(/not valid here/);
    const keys = apiKey({ issued });
    keys.configure(sections({}));
    for (const headers of [{ "x-key": keyText }, { authorization: `Bearer ${keyText}` }])
      expect(() => keys.authenticate({ headers } as unknown as IncomingMessage)).toThrow(/not valid here/);
  });

  it("beside a key speaks for nobody", () => {
    expect(() => by({ authorization: `Bearer ${tokenText}`, "x-key": keyText })).toThrow(/not valid here/);
  });
});
