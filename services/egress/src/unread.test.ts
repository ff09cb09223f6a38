import { expect, it } from "vitest";
import { Unread } from "./unread.ts";

const kib = 1024;

it("counts what was sent and not yet read, to within a mark of 256 KiB", () => {
  const unread = new Unread();
  for (let piece = 1; piece <= 64; piece++) unread.sent(64 * kib, piece);
  expect(unread.bytes).toBe(4096 * kib);
  unread.read(32);
  expect(unread.bytes).toBe(2048 * kib);
  unread.read(34);
  expect(unread.bytes).toBe(2048 * kib);
  unread.read(64);
  expect(unread.bytes).toBe(0);
});

it("keeps a bounded number of marks however small the pieces are, and no reader can read less than it had", () => {
  const unread = new Unread();
  for (let piece = 1; piece <= 100_000; piece++) unread.sent(100, piece);
  unread.read(100_000);
  expect(unread.bytes).toBeLessThan(256 * kib);
  unread.read(1);
  expect(unread.bytes).toBeLessThan(256 * kib);
});
