import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { z } from "zod";
import { baseConfigSchema, flag, keyRing, loadConfig, oneOf } from "./config.ts";

test("what is wrong in the environment is told in plain words, without the values", () => {
  const schema = baseConfigSchema.extend({ KIND: oneOf(["one", "two"]), ON: flag.default(false) });
  const env = { HEALTH_PORT: "ninety", LOG_LEVEL: "loud", SHUTDOWN_DEADLINE_MS: "1.5", KIND: "three", ON: "yes" };
  expect(() => loadConfig(schema, env)).toThrow(
    [
      "the environment is not usable:",
      "  HEALTH_PORT: must be a whole number from 0 to 65535",
      "  LOG_LEVEL: must be one of trace, debug, info, warn, error, fatal",
      "  SHUTDOWN_DEADLINE_MS: must be a whole number from 100 to 3600000",
      "  KIND: must be one of one, two",
      "  ON: must be true or false",
    ].join("\n"),
  );
});

test("what is needed and not set is called missing", () => {
  expect(() => loadConfig(z.object({ NAME: z.string() }), {})).toThrow("NAME: is missing");
});

test("A4: a key that is short, a default or not random is refused, each of several by its place, and never shown", () => {
  const schema = z.object({ KEY: keyRing });
  const [hex, base64] = [randomBytes(32).toString("hex"), randomBytes(32).toString("base64")];
  expect(loadConfig(schema, { KEY: `${hex}, ${base64}` }).KEY).toEqual([
    Buffer.from(hex, "hex"),
    Buffer.from(base64, "base64"),
  ]);
  const weak = [
    "",
    "changeme",
    "a".repeat(64),
    hex.slice(2),
    `${hex}00`,
    "01".repeat(32),
    Buffer.alloc(32, 7).toString("base64"),
  ];
  for (const KEY of weak) expect(() => loadConfig(schema, { KEY }), KEY).toThrow(/KEY.*: it /);
  const second = () => loadConfig(schema, { KEY: `${hex},secret-${base64.slice(0, 20)}` });
  expect(second).toThrow("key 2: it is not 32 bytes");
  expect(second).not.toThrow(base64.slice(0, 20));
});
