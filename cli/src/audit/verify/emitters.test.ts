import { describe, expect, test } from "vitest";
import { Emitters } from "./emitters.ts";
import { factsOf } from "./entry.ts";
import { Problems } from "./problem.ts";

/** What is found in events of these columns. */
function found(...events: readonly Readonly<Record<string, unknown>>[]) {
  const problems = new Problems();
  const emitters = new Emitters(problems);
  for (const [index, event] of events.entries()) emitters.take("acme", index, factsOf(event));
  return { ...emitters.report(0), problems: problems.list() };
}

const word = (emitter: string, seq: number, said: string) => ({
  ...{ kind: "emitter", emitter, seq, word: said },
  ...(said !== "repeated" && { service: "egress", at: "2026-11-21T10:00:00.000Z" }),
});
const outcome = (emitter: string, seq: number) => ({ kind: "outcome", emitter, seq });

describe("an emitter's numbers", () => {
  test("are whole where a word stands for an event that another told before", () => {
    const events = [word("e", 1, "started"), outcome("e", 2), word("e", 4, "stopped")];
    expect(found(...events, word("e", 3, "repeated"))).toEqual({ emitters: 1, whole: 1, warnings: [], problems: [] });
    expect(found(...events).problems).toMatchObject([
      { kind: "lost", text: expect.stringContaining("1 number (3)") as string },
    ]);
  });

  test("are not asked for where an event has none", () => {
    const none = { emitters: 0, whole: 0, warnings: [], problems: [] };
    expect(found({ kind: "unknown", emitter: "audit-1" }, { kind: "unknown", emitter: "audit-1" })).toEqual(none);
  });

  test("that are missing are a warning where it was killed", () => {
    const { problems, warnings } = found(word("e", 1, "started"), outcome("e", 3));
    expect(problems).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining("1 number (2) missing: it was killed, or runs still")]);
  });
});
