import type { Bus } from "@sluice/bus";
import { encodeJson, subjects } from "@sluice/contracts";
import { expect, it } from "vitest";
import { PushRoom } from "./push-room.ts";

const kibibyte = 1024;
const tenant = "t";

/** JetStream's answer to how many messages wait on each subject. */
function roomOver(waiting: Record<string, number>) {
  const ask = () => Promise.resolve({ data: encodeJson({ state: { subjects: waiting } }) });
  const perTenant = { messages: 100, bytes: 1024 * kibibyte };
  return new PushRoom({ ask } as unknown as Bus, { perMinute: 600, perTenant });
}

it("A30: a tenant's share of what waits is one of bytes too, each webhook's by its largest", async () => {
  const [large, small] = ["a", "b"].map((id) => subjects.push({ tenant, id })) as [string, string];
  const waiting: Record<string, number> = { [large]: 0, [small]: 90 };
  const room = roomOver(waiting);
  await room.requireShare(tenant, { subject: small, bytes: kibibyte }, 0);
  for (let sent = 0; sent < 4; sent++) {
    await room.requireShare(tenant, { subject: large, bytes: 200 * kibibyte }, sent * 2_000);
    waiting[large] = sent + 1;
  }
  const refused = room.requireShare(tenant, { subject: large, bytes: 200 * kibibyte }, 8_000);
  await expect(refused).rejects.toMatchObject({ kind: "agent_rate_limited" });
  await room.requireShare(tenant, { subject: small, bytes: kibibyte }, 8_000);
  await room.requireShare("other", { subject: "x", bytes: kibibyte }, 8_000);
});

it("A30: what was stored since the last count counts, in messages and in bytes", async () => {
  const subject = subjects.push({ tenant, id: "a" });
  const room = roomOver({});
  for (let sent = 0; sent < 5; sent++) await room.requireShare(tenant, { subject, bytes: 200 * kibibyte }, 0);
  const refused = room.requireShare(tenant, { subject, bytes: 200 * kibibyte }, 0);
  await expect(refused).rejects.toMatchObject({ kind: "agent_rate_limited" });
});
