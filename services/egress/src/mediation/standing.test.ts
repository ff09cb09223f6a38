import type { Log } from "@sluice/telemetry";
import { expect, test } from "vitest";
import type { Changes } from "./changes.ts";
import { Standing } from "./standing.ts";

test("a turn is logged and told once; what was never there is no change", () => {
  const lines: string[] = [];
  const said: string[] = [];
  const write = (_fields: object, text: string) => void lines.push(text);
  const log = { warn: write, info: write } as unknown as Log;
  const changes = { say: (_place: object, method: string) => void said.push(method) } as unknown as Changes;
  const standing = new Standing(log, changes);
  const place = { tenant: "t", server: "s" };
  for (let times = 0; times < 3; times++) standing.note(place, new Error("down"));
  expect([lines.length, said.length]).toEqual([1, 0]);
  for (let times = 0; times < 3; times++) standing.note(place, undefined);
  expect([lines.length, said.length]).toEqual([2, 3]);
  standing.note(place, new Error("down"));
  expect([lines.length, said.length]).toEqual([3, 6]);
  expect(new Set(said)).toEqual(
    new Set(["tools", "prompts", "resources"].map((kind) => `notifications/${kind}/list_changed`)),
  );
});
