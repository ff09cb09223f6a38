import type { StreamWriter } from "@sluice/bus";
import type { CallHead } from "@sluice/contracts";
import { expect, test } from "vitest";
import { ActiveCall } from "../active-call.ts";
import { Output } from "./output.ts";

/** An answer's stream whose store takes nothing until told to. */
function started() {
  const call = new ActiveCall(
    { tenant: "t", agent: { id: "a" }, http: "POST", headers: {}, era: "modern" } as CallHead,
    "",
  );
  const stored = Promise.withResolvers<void>();
  const writer = { next: 1, write: () => stored.promise, end: () => Promise.resolve() };
  const output = new Output({
    call,
    stream: () => writer as unknown as StreamWriter,
    reply: () => Promise.resolve({ status: 200 }),
  });
  return { call, output, store: stored.resolve };
}

test("who says more than the stream takes has to wait until it is stored", async () => {
  const { output, store } = started();
  output.event("x".repeat(1024));
  await output.room();
  output.event("x".repeat(2 * 1024 * 1024));
  const room = output.room();
  expect(await Promise.race([room.then(() => "room"), nextTurn()])).toBe("none");
  store();
  await room;
});

test("an upstream that cannot be made to wait loses the call when too much is on its way", () => {
  const { call, output } = started();
  const part = "x".repeat(1024 * 1024);
  for (let at = 0; at < 31; at++) output.event(part);
  expect(call.ended).toBeUndefined();
  for (let at = 0; at < 2; at++) output.event(part);
  expect(call.ended?.kind).toBe("client_left");
});

async function nextTurn(): Promise<string> {
  await new Promise((resolve) => setImmediate(resolve));
  return "none";
}
