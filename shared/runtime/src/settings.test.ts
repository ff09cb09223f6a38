import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "@sluice/telemetry";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { settingsOf } from "./settings.ts";

const schema = z.object({ NAME: z.string(), URL: z.string(), CA_FILE: z.string(), CA: z.string() });
const read = (env: Record<string, string>) => settingsOf([schema], createLog("test", "silent"), env);
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-settings-"));
  await writeFile(join(dir, "secret"), "p@ss/w:rd$&\n");
});
afterAll(() => rm(dir, { recursive: true }));

test("a setting may refer to a secret, or be in the file that NAME_FILE names", async () => {
  const expected = expect.objectContaining({ NAME: "p@ss/w:rd$&" });
  expect(await read({ NAME: `\${file:${dir}/secret}` })).toEqual(expected);
  expect(await read({ NAME_FILE: `${dir}/secret` })).toEqual(expected);
  expect(await read({ NAME: "${env:OTHER}", OTHER: "p@ss/w:rd$&" })).toEqual(expected);
});

test("a part of a URL is percent-encoded, a part of any other text is not", async () => {
  const part = `\${file:${dir}/secret}`;
  const { URL: url, NAME: name } = await read({ URL: `redis://u:${part}@host`, NAME: `a ${part} b` });
  expect([url, name]).toEqual(["redis://u:p%40ss%2Fw%3Ard%24%26@host", "a p@ss/w:rd$& b"]);
});

test("what is no setting of the service, or has the name of a file as its value, is left alone", async () => {
  const env = { FOREIGN: "${file:/nowhere}", FOREIGN_FILE: "/nowhere", CA_FILE: "/nowhere", NAME: "$NAME ${NAME}" };
  expect(await read(env)).toEqual(env);
});

test("each reference that leads nowhere is named with its setting, and no value is", async () => {
  const reading = read({ NAME: "cnry${file:/nowhere}", URL: "${env:NONE}", CA: "${aws:x}" });
  await expect(reading).rejects.toThrow(
    [
      "the environment is not usable:",
      "  NAME: ${file:/nowhere}: there is no such file",
      "  URL: ${env:NONE}: the environment variable is not set",
      "  CA: ${aws:x}: must be a reference: ${env:NAME}, ${file:PATH} or ${vault:PATH#KEY}",
    ].join("\n"),
  );
});
