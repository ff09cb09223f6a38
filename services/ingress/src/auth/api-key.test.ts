import { hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { IngressSection } from "@sluice/contracts";
import { createLog } from "@sluice/telemetry";
import { describe, expect, it } from "vitest";
import { apiKey } from "./api-key.ts";
import { Issued } from "./issued.ts";

const section = (keyHeader: string, ...agents: string[]): IngressSection =>
  ({
    version: 1,
    keyHeaders: [keyHeader],
    keys: Object.fromEntries(
      agents.map((id) => [hash("sha256", id === "b-2" ? "key-of-b-2" : `key of ${id}`, "hex"), { id }]),
    ),
  }) as unknown as IngressSection;

const issued = new Issued({ log: createLog("test", "silent"), changed: () => {} });
const method = apiKey({ issued });
method.configure(
  new Map([
    ["acme", section("x-request-id", "a-1", "a-2")],
    ["beta", section("x-agent-api-key", "b-1", "b-2")],
  ]),
);
const agentBy = (headers: Record<string, string | string[]>) => {
  const principal = method.authenticate({ headers } as IncomingMessage);
  // Nothing is asked elsewhere: the way of a call with a key holds no promise.
  if (principal instanceof Promise) throw new Error("a promise");
  return principal?.agent.id;
};

describe("an API key", () => {
  it("is taken in its own tenant's header or as a bearer token, and in no other tenant's header", () => {
    expect(agentBy({ "x-request-id": "key of a-1" })).toBe("a-1");
    expect(agentBy({ "x-agent-api-key": "key of b-1" })).toBe("b-1");
    expect(agentBy({ authorization: "Bearer key-of-nobody" })).toBeUndefined();
    expect(agentBy({ "x-request-id": "key of b-1" })).toBeUndefined();
    expect(agentBy({ "x-agent-api-key": "key of a-1" })).toBeUndefined();
  });

  it("counts whatever else stands in a header that another tenant uses for keys", () => {
    expect(agentBy({ "x-request-id": "7", "x-agent-api-key": "key of b-1" })).toBe("b-1");
    expect(agentBy({ "x-request-id": "key of a-1", "x-agent-api-key": "wrong" })).toBe("a-1");
  });

  it("beside a wrong one in a header of its own tenant speaks for nobody", () => {
    expect(agentBy({ authorization: "Bearer key-of-b-2" })).toBe("b-2");
    expect(agentBy({ authorization: "Bearer key-of-b-2", "x-agent-api-key": "wrong" })).toBeUndefined();
    expect(agentBy({ authorization: "Bearer key-of-b-2", "x-request-id": "7" })).toBe("b-2");
  });

  it("beside one of another agent speaks for nobody", () => {
    expect(agentBy({ "x-request-id": "key of a-1", "x-agent-api-key": "key of b-1" })).toBeUndefined();
    expect(agentBy({ "x-request-id": ["key of a-1", "key of a-1"] })).toBeUndefined();
  });
});
