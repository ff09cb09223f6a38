import { expect, test } from "vitest";
import { checkpointOf, linesFor, makeKey, makeTrail, type MadeEntry } from "./made-trail.ts";
import { readKey } from "./note.ts";
import { verifyExport } from "./verify.ts";

const key = makeKey();
const trail = makeTrail({ _gateway: 4 });
const checkpoint = checkpointOf(trail.get("_gateway") as MadeEntry[], key);

function verified(lines: readonly string[], log?: string) {
  async function* all() {
    yield* lines;
  }
  return verifyExport({ keys: [readKey(key.vkey)], mustBeSigned: true, files: [], log, onProgress: () => {} }, all());
}

test("A35: an export without events, or without those of the log that is asked for, is not taken for a good one", async () => {
  const lines = linesFor(trail, [checkpoint], key);
  expect(await verified(lines, "_gateway")).toMatchObject({ ok: true, shown: "signed" });
  await expect(verified([])).rejects.toThrow("holds no events");
  await expect(verified(lines, "acme")).rejects.toThrow("a log acme: there are _gateway");
  await expect(verified(["call,at", "1,2"])).rejects.toThrow("no verifiable export");
  expect(await verified(lines.slice(0, 1))).toMatchObject({ ok: false, problems: [{ kind: "cut" }] });
});
