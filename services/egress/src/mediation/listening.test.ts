import type { CallHead } from "@sluice/contracts";
import { expect, test } from "vitest";
import { Changes } from "./changes.ts";
import { Listening } from "./listening.ts";
import { deafSink } from "./peer.ts";
import type { Peers } from "./peers.ts";
import type { Routes } from "./routes.ts";

test("nothing is left behind of a stream whose upstream cannot be reached", async () => {
  const changes = new Changes({ instance: "i", connected: false, tell: () => {} }, () => {});
  const peers = { eras: { of: () => Promise.reject(new Error("dead")) } } as unknown as Peers;
  const routes = { line: () => ({}) } as unknown as Routes;
  const listening = new Listening({ peers, routes, changes });
  const notified: unknown[] = [];
  const sink = { ...deafSink(new AbortController().signal), notify: (notice: unknown) => void notified.push(notice) };
  const listener = { head: { tenant: "t" } as CallHead, client: { info: {}, capabilities: {} }, traceparent: "" };
  await expect(listening.listen(listener, "s", { wanted: {}, sink })).rejects.toThrow("dead");
  changes.heed({ tenant: "t", server: "s", method: "notifications/tools/list_changed", by: "other" });
  expect(notified).toEqual([]);
});
