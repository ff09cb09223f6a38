import { describe, expect, test } from "vitest";
import { records, settings } from "./hostile-records.ts";
import { ocsf } from "./ocsf.ts";

/** Facts of the schema, version 1.8.0 (github.com/ocsf/ocsf-schema): what is required, which activities there are, and where one of several attributes must be. */
const ofEvery = ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
const classes: Record<number, { category: number; required: string[]; activities: number[]; oneOf?: string[] }> = {
  6003: { category: 6, required: ["actor", "api", "src_endpoint"], activities: [1, 2, 3, 4] },
  3002: { category: 3, required: ["user"], activities: [1, 2, 3, 4, 5, 6, 7], oneOf: ["service", "dst_endpoint"] },
  3004: { category: 3, required: ["entity"], activities: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13] },
  6002: { category: 6, required: ["app"], activities: [1, 2, 3, 4, 5, 6, 7, 8] },
};
const objects: Record<string, { required?: string[]; oneOf?: string[] }> = {
  metadata: { required: ["product", "version"] },
  "metadata.product": { oneOf: ["name", "uid"] },
  actor: { oneOf: ["process", "user", "invoked_by", "session", "app_name", "app_uid"] },
  "actor.user": { oneOf: ["account", "name", "uid"] },
  user: { oneOf: ["account", "name", "uid"] },
  api: { required: ["operation"] },
  "api.request": { required: ["uid"] },
  http_response: { required: ["code"] },
  src_endpoint: { oneOf: ["ip", "uid", "name", "hostname", "svc_name", "instance_uid"] },
  dst_endpoint: { oneOf: ["ip", "uid", "name", "hostname", "svc_name", "instance_uid"] },
  entity: { oneOf: ["name", "uid", "device", "group", "org", "policy", "user"] },
  service: { oneOf: ["name", "uid"] },
  app: { oneOf: ["name", "uid"] },
};
const anyActivity = [0, 99];

type Json = Record<string, unknown>;
const events = records.map((record) => ({
  type: record.type,
  event: JSON.parse(ocsf(settings).write(record)) as Json & {
    class_uid: number;
    activity_id: number;
    severity_id: number;
  },
}));
const at = (event: Json, path: string) =>
  path.split(".").reduce<unknown>((value, key) => (value as Json)?.[key], event);

describe("OCSF 1.8.0", () => {
  test("every event has what its class requires, of an activity that the class knows", () => {
    for (const { event } of events) {
      const facts = classes[event.class_uid];
      expect(facts, String(event.class_uid)).toBeDefined();
      expect(Object.keys(event)).toEqual(expect.arrayContaining([...ofEvery, ...(facts?.required ?? [])]));
      expect(event["category_uid"]).toBe(facts?.category);
      expect([...anyActivity, ...(facts?.activities ?? [])]).toContain(event.activity_id);
      expect(event["type_uid"]).toBe(event.class_uid * 100 + event.activity_id);
      expect([1, 2, 3]).toContain(event.severity_id);
      if (facts?.oneOf) expect(facts.oneOf.some((name) => name in event)).toBe(true);
      if (event.activity_id === 99) expect(event["activity_name"]).toEqual(expect.any(String));
      expect(event["time"]).toBe(Date.parse("2026-11-21T10:00:00.000Z"));
    }
  });

  test("every object in it has what objects of its kind require", () => {
    for (const { event } of events)
      for (const [path, { required = [], oneOf }] of Object.entries(objects)) {
        const object = at(event, path) as Json | undefined;
        if (object === undefined) continue;
        expect(Object.keys(object), path).toEqual(expect.arrayContaining(required));
        if (oneOf)
          expect(
            oneOf.some((name) => name in object),
            path,
          ).toBe(true);
      }
  });

  test("calls are API activity, refusals authentication, operators' actions entity management, emitters application lifecycle", () => {
    const kinds = new Set(events.map(({ type, event }) => `${type} ${event.class_uid}`));
    expect([...kinds].toSorted()).toEqual(
      ["action 3004", "call 6003", "emitter 6002", "refusals 3002", "stream 6003"].toSorted(),
    );
  });
});
