import { readFileSync } from "node:fs";

const form = /^\$\{(env|file):([^}]+)\}$/;

/**
 * The value behind `${env:NAME}` or `${file:PATH}`. Called by the one service that needs the secret; it never leaves it.
 * @throws Error that names the reference, never the value.
 */
export function resolveSecret(reference: string, env: NodeJS.ProcessEnv = process.env): string {
  const [, source, where] = form.exec(reference) ?? [];
  if (source === undefined || where === undefined) throw new Error(`${reference} is not a secret reference`);
  const secret = source === "env" ? env[where] : readSecretFile(reference, where);
  if (secret === undefined) throw new Error(`${reference}: the environment variable is not set`);
  return secret;
}

function readSecretFile(reference: string, path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new Error(`${reference}: the file cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`);
  }
}
