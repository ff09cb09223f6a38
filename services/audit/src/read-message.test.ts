import { encodeJson, subjects, type ServiceName } from "@sluice/contracts";
import { expect, it } from "vitest";
import { readMessage } from "./read-message.ts";
import { intent, outcome } from "./trail-world.ts";

const action = (name: string, more: object = {}) => ({
  ...{ event: "action", id: "a-1", at: 1, action: name, result: "done", seq: 1, ...more },
});
const emitter = (service: string) => ({ event: "emitter", at: 1, service, word: "started", version: "1", seq: 1 });
const began = { event: "intent", ...intent("c-1") };
const ended = { event: "outcome", ...outcome("c-1") };
const refused = { event: "refusals", id: "r-1", at: 1, until: 2, protocol: "mcp", status: 401, fault: "f", count: 1 };

const reasonOf = (service: ServiceName, event: object) =>
  readMessage(encodeJson({ from: "i1", events: [event] }), subjects.audit(service)).unreadable[0]?.reason;

it.each<[ServiceName, object]>([
  ["ingress", began],
  ["ingress", ended],
  ["egress", ended],
  ["egress", action("push.deliver", { tenant: "acme" })],
  ["control", action("audit.erase", { tenant: "acme" })],
  ["control", action("GET /v1/tenants/:tenant/keys")],
  ["control", action("*")],
  ["control", action("tools.drift")],
  ["audit", action("audit.retention")],
  ["signer", action("audit.fork")],
  ["ingress", emitter("ingress")],
])("what %s tells of is taken: %j", (service, event) => {
  expect(reasonOf(service, event)).toBeUndefined();
});

it.each<[ServiceName, object]>([
  ["ingress", action("audit.retention")],
  ["ingress", action("keys.create")],
  ["egress", action("audit.erase")],
  ["egress", began],
  ["egress", refused],
  ["control", action("audit.retention")],
  ["control", ended],
  ["signer", action("audit.retention")],
  ["audit", ended],
  ["policy", ended],
  ["egress", emitter("ingress")],
])("what is not for %s to tell is none of the trail: %j", (service, event) => {
  expect(reasonOf(service, event)).toBe("it is not for this service to tell");
});

it("admission messages bring intents alone", () => {
  const subject = subjects.admit("mcp", { policy: true, limit: true, session: false });
  expect(readMessage(encodeJson({ from: "i1", calls: [intent("c-1")] }), subject).events).toHaveLength(1);
  expect(readMessage(encodeJson({ from: "i1", events: [ended] }), subject).unreadable).toHaveLength(1);
});

it.each(["", ">", "a b", "_gateway", "a.b", "A"])("a tenant that none can be is not stored: %j", (tenant) => {
  for (const event of [
    { ...began, tenant },
    { ...ended, tenant },
  ])
    expect(reasonOf("ingress", event)).toMatch(/^it does not fit the schema: tenant: /);
  expect(reasonOf("control", action("keys.create", { tenant }))).toMatch(/^it does not fit the schema: tenant: /);
});
