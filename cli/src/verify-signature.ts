import { readFile } from "node:fs/promises";
import { InvalidArgumentError, Option, type Command } from "commander";
import { loadConfig, settingsOf } from "@sluice/runtime";
import { verify, type SigningMode } from "@sluice/signing";
import { createLog, logOutput } from "@sluice/telemetry";
import { environmentWith, settingsSchema } from "./proxy/settings.ts";

interface Flags {
  readonly mode: SigningMode;
  readonly header: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly tolerance: number;
}

const keySchema = settingsSchema.pick({ MCP_API_KEY: true, MCP_API_SECRET: true });
const help = `
The key is what MCP_API_KEY and MCP_API_SECRET say, as for "sluice proxy": .env and references too. Exit code 0: signed with it. 1: not, and the reason. 2: it can't be told.

Example: MCP_API_KEY=me MCP_API_SECRET=… sluice verify-signature POST /mcp -H x-api-key-id:me -H x-signature:… -H x-timestamp:…`;

/** `sluice verify-signature`: says whether a request is signed, to authors of upstreams. */
export function addVerifySignatureCommand(program: Command): void {
  program
    .command("verify-signature")
    .description("say whether header fields sign a request")
    .argument("<method>", "of the request")
    .argument("<target>", "its path as it stands on the request line, with the query")
    .requiredOption("-H, --header <name:value>", "a header field; again for each", field)
    .option("--body <file>", "what was sent, for strict signatures")
    .addOption(new Option("--mode <mode>").choices(["auth-gateway", "strict"]).default("auth-gateway"))
    .option("--tolerance <seconds>", "between the timestamp and this machine's clock", seconds, 300)
    .addHelpText("after", help)
    .action(check);
}

async function check(method: string, target: string, { mode, header, body, tolerance }: Flags): Promise<void> {
  try {
    const log = createLog("verify-signature", "warn", logOutput(2));
    const env = await settingsOf([keySchema], log, environmentWith(undefined, process.env));
    const { MCP_API_KEY: keyId, MCP_API_SECRET: secret } = loadConfig(keySchema, env);
    const at = target.indexOf("?");
    const request = {
      method,
      path: at === -1 ? target : target.slice(0, at),
      ...(at !== -1 && { query: target.slice(at + 1) }),
      ...(body !== undefined && { body: await readFile(body) }),
    };
    const verification = await verify({ mode, keyId, secret, toleranceMs: tolerance * 1_000 }, request, header);
    process.stdout.write(verification.ok ? "signed\n" : `not signed: ${verification.reason}\n`);
    if (!verification.ok) process.exitCode = 1;
  } catch (error) {
    process.stderr.write(`sluice: ${(error as Error).message}\n`);
    process.exitCode = 2;
  }
}

function field(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError("write it like x-timestamp:1767225600");
  return { ...before, [name.toLowerCase()]: value };
}

function seconds(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0) throw new InvalidArgumentError("give a whole number of seconds");
  return number;
}
