import { expect, test } from "vitest";
import { HeldBytes } from "./held-bytes.ts";

test("one agent's calls hold half at most, all together no more than there is, and what is given back is free", () => {
  const held = new HeldBytes(100);
  const first = held.open("acme/one");
  const second = held.open("acme/one");
  first.add(30);
  second.add(20);
  expect(() => second.add(1)).toThrow("too many large bodies");
  const other = held.open("acme/other");
  other.add(40);
  const third = held.open("acme/third");
  expect(() => third.add(11)).toThrow("too many large bodies");
  third.add(10);
  first[Symbol.dispose]();
  second.add(30);
  for (const hold of [first, second, other, third]) hold[Symbol.dispose]();
  const last = held.open("acme/one");
  last.add(50);
  expect(() => last.add(1)).toThrow("too many large bodies");
});
