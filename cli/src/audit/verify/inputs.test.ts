import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeNoteKey } from "@sluice/signing";
import { expect, onTestFinished, test } from "vitest";
import { Checkpoints } from "./checkpoints.ts";
import { addCheckpointFile, readKeys } from "./inputs.ts";
import { commitmentOf, Malformed } from "./leaf.ts";
import { checkpointOf, makeKey, makeTrail, type MadeEntry } from "./made-trail.ts";
import { readKey } from "./note.ts";
import { Problems } from "./problem.ts";

test("a line of the signer's file that a crash has cut leaves the others as they are", async () => {
  const directory = await mkdtemp(join(tmpdir(), "sluice-inputs-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const key = makeKey();
  const entries = makeTrail({ _gateway: 4 }).get("_gateway") as MadeEntry[];
  const [first, second] = [2, 4].map((size) => JSON.stringify(checkpointOf(entries.slice(0, size), key)));
  const file = join(directory, "kept.jsonl");
  await writeFile(file, `${first}\n${second?.slice(0, 40)}\n${second}\n`);
  const checkpoints = new Checkpoints([readKey(key.vkey)], new Problems());
  expect(await addCheckpointFile(checkpoints, file)).toEqual([expect.stringContaining("1 line is cut")]);
  expect(checkpoints.of("_gateway").map(({ size }) => size)).toEqual([2, 4]);
});

test("a private key is not taken, and does not come into the message", async () => {
  const { privateKey } = makeNoteKey("example.com/audit");
  await expect(readKeys([privateKey])).rejects.toThrow(/^(?!.*PRIVATE).*the private key/);
});

test.each(["AAECA$w==", "AAECAx==", "AAECAw==ZZZZ", "AAEC\0Aw=="])("content is not %j", (text) => {
  expect(() => commitmentOf("content", text, Buffer.alloc(32))).toThrow(Malformed);
});
