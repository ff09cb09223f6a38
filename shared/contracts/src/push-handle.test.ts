import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { isPushToken, pushHandle, pushToken, readPushHandle } from "./push-handle.ts";

const [key, older, foreign] = [randomBytes(32), randomBytes(32), randomBytes(32)];
const id = randomBytes(16).toString("base64url");
const now = 1_800_000_000_000;
const told = { tenant: "acme", id, expiresAt: now + 60_000 };

it("a handle is good for whoever has the key, or had it signed with an older one, until it is over", () => {
  const handle = pushHandle([older], told);
  expect(handle.length).toBeLessThanOrEqual(128);
  expect(readPushHandle([key, older], handle, now)).toMatchObject({ id });
  expect(readPushHandle([key], handle, now)).toBeUndefined();
  expect(readPushHandle([older], handle, now + 61_000)).toBeUndefined();
});

it("A1: a handle of which any character was changed, or a part taken from another, is none", () => {
  const handle = pushHandle([key], told);
  for (let at = 0; at < handle.length; at++) {
    const changed = `${handle.slice(0, at)}${handle[at] === "A" ? "B" : "A"}${handle.slice(at + 1)}`;
    const read = readPushHandle([key], changed, now);
    // The last character of a MAC has two bits that say nothing.
    if (at < handle.length - 1) expect(read, changed).toBeUndefined();
  }
  const other = pushHandle([key], { ...told, tenant: "other" });
  expect(readPushHandle([key], `${other.slice(0, 16)}${handle.slice(16)}`, now)).toBeUndefined();
  expect(readPushHandle([foreign], handle, now)).toBeUndefined();
});

it("a token is its own handle's alone", () => {
  expect(isPushToken([key, older], id, pushToken([older], id))).toBe(true);
  expect(isPushToken([key], id, pushToken([key], randomBytes(16).toString("base64url")))).toBe(false);
  expect(isPushToken([key], id, "")).toBe(false);
});
