import { describe, expect, it } from "vitest";
import { Turns } from "./turns.ts";

describe("work of one key", () => {
  it("is done piece by piece, whatever became of the piece before", async () => {
    const turns = new Turns();
    const done: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = turns.inTurn("k", async () => {
      await gate.promise;
      done.push("first");
      throw new Error("failed");
    });
    const second = turns.inTurn("k", () => Promise.resolve(done.push("second")));
    await turns.inTurn("other", () => Promise.resolve(done.push("other")));
    gate.resolve();
    await expect(first).rejects.toThrow("failed");
    await second;
    expect(done).toEqual(["other", "first", "second"]);
  });

  it("is done once for all who come meanwhile, and anew for those who come later", async () => {
    const turns = new Turns();
    let done = 0;
    const work = () => Promise.resolve(void done++);
    await Promise.all([turns.once("k", work), turns.once("k", work)]);
    await turns.once("k", work);
    expect(done).toBe(2);
  });
});
