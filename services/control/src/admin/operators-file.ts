import { readFile } from "node:fs/promises";
import { ConfigError, watchFile } from "@sluice/runtime";
import type { Log } from "@sluice/telemetry";
import { parse } from "yaml";
import { z } from "zod";
import { knownHashes } from "../cross-check.ts";
import { roles, rootOperator, type OperatorEntry, type Operators } from "./operators.ts";

const tokenHash = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and the 64 hex digits of a token's SHA-256")
  .refine((text) => !knownHashes.has(text), "is the hash of an empty or well-known token")
  .transform((text) => text.slice("sha256:".length));

const fileSchema = z
  .strictObject({
    operators: z.array(
      z.strictObject({
        name: z
          .string()
          .regex(/^[A-Za-z0-9._@-]{1,64}$/, "must be 1 to 64 letters, digits or . _ @ -")
          .refine((name) => name !== rootOperator.name, "stands for ADMIN_TOKEN: choose another name"),
        /** One, or several. */
        role: z.union([z.enum(roles), z.array(z.enum(roles)).min(1)]),
        tokens: z.array(tokenHash).min(1),
        expires: z.coerce.date("must be a time such as 2027-01-31T00:00:00Z").optional(),
      }),
    ),
  })
  .superRefine(({ operators }, context) => {
    const names = operators.map(({ name }) => name);
    const hashes = operators.flatMap(({ tokens }) => tokens);
    if (new Set(names).size < names.length)
      context.addIssue({ code: "custom", message: "two operators have the same name" });
    if (new Set(hashes).size < hashes.length) context.addIssue({ code: "custom", message: "a token is named twice" });
  });

export interface FollowedOperators {
  readonly file: string;
  readonly operators: Operators;
  readonly log: Log;
  readonly onChanged: () => void;
  readonly onRefused: () => void;
}

/**
 * Keeps the operators as the file has them. An edit that can't be read changes nothing and is logged.
 * @throws ConfigError where the file is unusable at the start
 */
export async function followOperators({
  file,
  operators,
  log,
  onChanged,
  onRefused,
}: FollowedOperators): Promise<Disposable> {
  let text = await read(file);
  operators.replace(entriesOf(file, text));
  let complaint = "";
  const refresh = async () => {
    try {
      const now = await read(file);
      complaint = "";
      if (now === text) return;
      operators.replace(entriesOf(file, now));
      text = now;
      log.info({ file }, "the operators file was read again");
      onChanged();
    } catch (error) {
      const message = error instanceof Error ? error.message : "unknown";
      if (message === complaint) return;
      complaint = message;
      log.error({ problem: message }, "the operators file is refused; the last good one stays");
      onRefused();
    }
  };
  return watchFile(file, () => void refresh());
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new ConfigError(`OPERATORS_FILE: ${file} can't be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function entriesOf(file: string, text: string): OperatorEntry[] {
  const parsed = fileSchema.safeParse(parseYaml(file, text));
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `  ${path.join(".")}: ${message}`);
    throw new ConfigError(`OPERATORS_FILE: ${file} is not usable:\n${problems.join("\n")}`);
  }
  return parsed.data.operators.map(({ name, role, tokens, expires }) => ({
    name,
    roles: typeof role === "string" ? [role] : role,
    hashes: tokens,
    ...(expires !== undefined && { expiresAtMs: expires.getTime() }),
  }));
}

function parseYaml(file: string, text: string): unknown {
  try {
    return parse(text);
  } catch {
    throw new ConfigError(`OPERATORS_FILE: ${file} is no YAML`);
  }
}
