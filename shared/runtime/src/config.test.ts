import { expect, test } from "vitest";
import { z } from "zod";
import { baseConfigSchema, flag, loadConfig, oneOf } from "./config.ts";

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
