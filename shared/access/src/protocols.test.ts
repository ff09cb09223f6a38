import { expect, it } from "vitest";
import { compileRules } from "./rulebook.ts";

const section = { version: 1, mcpEnabled: true, hideDenied: false, accessRules: [] };
const decide = (a2aEnabled: boolean | undefined) =>
  compileRules(new Map([["acme", { ...section, ...(a2aEnabled !== undefined && { a2aEnabled }) }]])).decide({
    tenant: "acme",
    agent: { id: "a-1" },
    protocol: "a2a",
    method: "SendMessage",
    target: "planner",
  });

it("P4: A2A is answered protocol_disabled unless the tenant has agents behind the gateway and they are switched on", () => {
  const refusal = { ok: false, rule: "settings.a2a_enabled", fault: "protocol_disabled", allowed: [] };
  expect([decide(undefined), decide(false)]).toEqual([refusal, refusal]);
  expect(decide(true)).toEqual({ ok: true, rule: "default-allow" });
});
