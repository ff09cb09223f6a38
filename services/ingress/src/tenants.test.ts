import { hash } from "node:crypto";
import type { IngressSection } from "@sluice/contracts";
import { createLog } from "@sluice/telemetry";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { apiKey } from "./auth/api-key.ts";
import { Issued } from "./auth/issued.ts";
import { Authentication } from "./auth/authentication.ts";
import { Tenants, type Principal } from "./tenants.ts";

const credential = hash("sha256", "a key", "hex");
const principal: Principal = { tenant: "acme", agent: { id: "a-1" }, method: "apiKey", credential };
const section = (servers: string[], keys: IngressSection["keys"]) =>
  ({
    version: 1,
    keyHeaders: [],
    oauth2: [],
    keys,
    servers: servers.map((name) => ({ name })),
  }) as unknown as IngressSection;

let tenants: Tenants;
const configure = (servers: string[], keys: IngressSection["keys"]) =>
  tenants.configure(new Map([["acme", section(servers, keys)]]));

beforeEach(() => {
  vi.useFakeTimers();
  const issued = new Issued({ log: createLog("test", "silent"), changed: () => {} });
  tenants = new Tenants(new Authentication([apiKey({ issued })]));
  configure(["echo", "files"], { [credential]: { id: "a-1" } });
});
afterEach(() => vi.useRealTimers());

describe("what somebody uses for longer", () => {
  it("ends when the credential is taken away, or given to somebody else (A8)", () => {
    const end = vi.fn();
    tenants.whenWithdrawn({ principal, protocol: "mcp", server: "echo" }, end);
    configure(["echo"], { [credential]: { id: "a-1" } });
    expect(end).not.toHaveBeenCalled();
    configure(["echo"], { [credential]: { id: "a-2" } });
    expect(end).toHaveBeenCalledOnce();
    expect(() => tenants.whenWithdrawn({ principal, protocol: "mcp", server: "echo" }, end)).toThrow(
      /not valid any more/,
    );
  });

  it("ends when its server is taken away, and not when it was over before", () => {
    const [ended, over] = [vi.fn(), vi.fn()];
    tenants.whenWithdrawn({ principal, protocol: "mcp", server: "files" }, ended);
    tenants.whenWithdrawn({ principal, protocol: "mcp", server: "files" }, over)();
    configure(["echo"], { [credential]: { id: "a-1" } });
    expect(ended).toHaveBeenCalledOnce();
    expect(over).not.toHaveBeenCalled();
  });

  it("ends within a second after its credential expired, with one timer for all (A8)", () => {
    const [first, second] = [vi.fn(), vi.fn()];
    const until = (ms: number) => ({
      protocol: "mcp" as const,
      principal: { ...principal, expiresAtMs: Date.now() + ms },
      server: "echo",
    });
    const offs = [tenants.whenWithdrawn(until(1_500), first), tenants.whenWithdrawn(until(10_000), second)];
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(2_500);
    expect(first).toHaveBeenCalled();
    expect(second).not.toHaveBeenCalled();
    for (const off of offs) off();
    expect(vi.getTimerCount()).toBe(0);
  });
});
