import { expect, it } from "vitest";
import { ContentBudget, HeldContent } from "./held-content.ts";

const text = (data: string) => Buffer.from(data, "base64").toString();

it("content is the beginning of what was said, and the size of all of it", () => {
  const held = new HeldContent(new ContentBudget(), 5);
  held.add(Buffer.from("abc"));
  held.add(Buffer.from("defg"));
  held.add(Buffer.from("h"));
  const { data, bytes } = held.take();
  expect([text(data), bytes]).toEqual(["abcde", 8]);
});

it("what was left out is followed by nothing", () => {
  const held = new HeldContent(new ContentBudget(), 50);
  held.add(Buffer.from("abc"));
  held.pass(1_000_000);
  held.add(Buffer.from("def"));
  const { data, bytes } = held.take();
  expect([text(data), bytes]).toEqual(["abc", 1_000_006]);
});

it("all that is held together is bounded; what was taken makes room", () => {
  const budget = new ContentBudget();
  const large = Buffer.alloc(512 * 1024, "x");
  const held = Array.from({ length: 65 }, () => {
    const one = new HeldContent(budget, large.length);
    one.add(large);
    return one;
  });
  const last = held.at(-1)?.take();
  expect(last).toEqual({ data: "", bytes: large.length });
  expect(held[0]?.take().data).toHaveLength((4 * Math.ceil(large.length / 3)) as number);
  const next = new HeldContent(budget, large.length);
  next.add(large);
  expect(next.take().data).not.toBe("");
});
