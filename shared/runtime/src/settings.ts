import { SecretProblem, Secrets } from "@sluice/secrets";
import type { Log } from "@sluice/telemetry";
import { z } from "zod";
import { ConfigError } from "./config.ts";

/** How long a start waits for secrets that are not on this machine. */
const waitMs = 15_000;
const reference = /\$\{[a-z]+:[^{}]*\}/g;

/**
 * The environment, in which those settings that hold references to secrets, or parts of one, have what they stand for. A
 * reference that is a part of a URL is percent-encoded. `NAME_FILE=PATH` says the same as `NAME=${file:PATH}`.
 * @throws ConfigError that names each setting and reference, never a value
 */
export async function settingsOf(
  schemas: readonly z.ZodType[],
  log: Log,
  env: NodeJS.ProcessEnv = process.env,
): Promise<NodeJS.ProcessEnv> {
  const names = schemas.flatMap((schema) => (schema instanceof z.ZodObject ? Object.keys(schema.shape) : []));
  const referring = new Map<string, string>();
  for (const name of names) {
    const path = names.includes(`${name}_FILE`) ? undefined : env[`${name}_FILE`];
    const text = path === undefined ? env[name] : `\${file:${path}}`;
    if (text !== undefined && text.match(reference) !== null) referring.set(name, text);
  }
  if (referring.size === 0) return env;
  await using secrets = new Secrets({ env, log });
  const references = [...referring.values()].flatMap((text) => text.match(reference) ?? []);
  await secrets.use("settings", references, waitMs);
  const problems: string[] = [];
  const resolved = { ...env };
  for (const [name, text] of referring) {
    try {
      resolved[name] = resolve(text, secrets);
    } catch (error) {
      if (!(error instanceof SecretProblem)) throw error;
      problems.push(`  ${name}: ${error.message}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(`the environment is not usable:\n${problems.join("\n")}`);
  return resolved;
}

function resolve(text: string, secrets: Secrets): string {
  const isUrl = text.includes("://");
  return text.replaceAll(reference, (part) => {
    const value = secrets.value(part);
    return isUrl && part !== text ? encodeURIComponent(value) : value;
  });
}
