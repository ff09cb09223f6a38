import { weakSecretReason } from "@sluice/signing";
import { z } from "zod";

/** A whole number from the environment. */
export const integer = (min: number, max: number) => {
  const need = `must be a whole number from ${min} to ${max}`;
  return z.coerce.number(need).int(need).min(min, need).max(max, need);
};

/** One of a few words. */
export const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, `must be ${words.length > 1 ? "one of " : ""}${words.join(", ")}`);

/** `true` or `false`, nothing else. */
export const flag = z.enum(["true", "false"], "must be true or false").transform((text) => text === "true");

/** Comma-separated, without empty entries. */
export const list = z.string().transform((text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== ""),
);

/** One or more of a few words, comma-separated. */
export const listOf = <const Words extends readonly [string, ...string[]]>(words: Words) => {
  const need = `must be ${words.join(" or ")}, or several of them with commas between`;
  return list.pipe(z.array(z.enum(words, need)).min(1, need));
};

/** Where Redis is. */
export const redisUrl = z
  .string()
  .regex(/^rediss?:\/\/./, "must begin with redis:// or rediss://, such as redis://127.0.0.1:6379")
  .default("redis://127.0.0.1:6379");

/** Where Postgres is. */
export const databaseUrl = z.url({
  protocol: /^postgres(?:ql)?$/,
  error: "must be a URL: postgres://user:password@host:port/database",
});

/** The path of a file in PEM, or none. */
export const pemFile = z.string().min(1, "must be the path of a file").optional();

/** A secret of this process: empty, short and well-known ones are refused (A4). */
const secret = z.string().superRefine((text, context) => {
  const reason = weakSecretReason(text);
  if (reason !== undefined) context.addIssue({ code: "custom", message: reason });
});

const keyBytes = 32;
const fewestByteValues = 12;

/**
 * Keys of 32 random bytes, in hex or base64, with commas between: the newest first. Older ones only open what they closed.
 * Weak ones are refused (A4).
 */
export const keyRing = z.string().transform((text, context): readonly Buffer[] =>
  text.split(",").map((part, index) => {
    const written = part.trim();
    const key = Buffer.from(written, /^[0-9a-f]{64}$/i.test(written) ? "hex" : "base64");
    const isShort = key.length !== keyBytes || !/^[\w+/=-]*$/.test(written);
    const reason =
      weakSecretReason(written) ??
      (isShort
        ? `it is not ${keyBytes} bytes in hex or base64, such as from: openssl rand -hex ${keyBytes}`
        : undefined) ??
      (new Set(key).size < fewestByteValues ? "it is not random" : undefined);
    if (reason !== undefined) context.addIssue(index === 0 ? reason : `key ${index + 1}: ${reason}`);
    return key;
  }),
);

/** What every service reads. */
export const baseConfigSchema = z.object({
  NATS_URL: z.string().default("nats://127.0.0.1:4222"),
  NATS_USER: z.string().optional(),
  NATS_PASSWORD: secret.optional(),
  NATS_CA_FILE: pemFile,
  NATS_CERT_FILE: pemFile,
  NATS_KEY_FILE: pemFile,
  HEALTH_HOST: z.string().default("127.0.0.1"),
  HEALTH_PORT: integer(0, 65_535).default(0),
  LOG_LEVEL: oneOf(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
  SHUTDOWN_DEADLINE_MS: integer(100, 3_600_000).default(25_000),
});
export type BaseConfig = z.infer<typeof baseConfigSchema>;

/** The configuration is unusable; the message lists every problem at once. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads a service's settings from environment variables. Values never appear in the error. */
export function loadConfig<Schema extends z.ZodType>(
  schema: Schema,
  env: NodeJS.ProcessEnv = process.env,
): z.infer<Schema> {
  const parsed = schema.safeParse(env);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => {
    const isMissing = issue.code === "invalid_type" && issue.message.endsWith("received undefined");
    return `  ${issue.path.join(".")}: ${isMissing ? "is missing" : issue.message}`;
  });
  throw new ConfigError(`the environment is not usable:\n${problems.join("\n")}`);
}
