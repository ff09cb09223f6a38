import { type Command } from "commander";
import { connectReader } from "./reader.ts";
import { readFile } from "node:fs/promises";
import { linesOf } from "./verify/export-source.ts";
import { localKeys, readKeys } from "./verify/inputs.ts";
import { readProofs } from "./verify/proof.ts";
import { linesFor, linesForProof, type Outcome } from "./verify/report.ts";
import { verifyDatabase, verifyExport, type Given } from "./verify/verify.ts";

interface Flags {
  readonly data: string;
  readonly export?: string;
  readonly proof?: string;
  readonly checkpoint: readonly string[];
  readonly key: readonly string[];
  readonly tenant?: string;
  readonly json?: true;
}

const help = `
Reads the database that DATABASE_URL or the run.json of --data names, or an export, and recomputes everything.
Exit code 0: nothing is wrong. 1: something is, and the first bad event is named. 2: it could not be told.

Example: sluice audit verify --export trail.jsonl.gz --key signer.pub --checkpoint kept-elsewhere.jsonl`;

/** `sluice audit verify` */
export function addVerifyCommand(audit: Command): void {
  audit
    .command("verify")
    .description("say whether the trail is whole and unchanged")
    .option("--export <file>", "a verifiable export (JSON lines, gzip or not) instead of the database")
    .option("--proof <file>", 'a proof by "sluice audit prove" instead of the database')
    .option(
      "--checkpoint <file>",
      "a checkpoint that was kept elsewhere: a note, or JSON lines; again for each",
      collect,
      [],
    )
    .option("--key <key>", "the signer's public key, or a file with it; again for each", collect, [])
    .option("--tenant <name>", "only this log: a tenant, or _gateway")
    .option("--json", "one JSON object")
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .addHelpText("after", help)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .action(run);
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}

async function run(flags: Flags): Promise<void> {
  try {
    if (flags.proof !== undefined) return await checkProofs(flags, flags.proof);
    const outcome = await verify(flags, progress());
    if (flags.tenant !== undefined && outcome.logs.length === 0 && outcome.ok)
      throw new Error(`there is no log ${flags.tenant}: nothing was verified`);
    const lines = flags.json === true ? [JSON.stringify(outcome)] : linesFor(outcome);
    process.stdout.write(`${lines.join("\n")}\n`);
    process.exitCode = outcome.ok ? 0 : 1;
  } catch (error) {
    process.stderr.write(`sluice: ${(error as Error).message}\n`);
    process.exitCode = 2;
  }
}

async function checkProofs({ key, json }: Flags, file: string): Promise<void> {
  const proofs = readProofs(await readFile(file, "utf8"), await readKeys(key));
  const lines = json === true ? proofs.map((proof) => JSON.stringify(proof)) : proofs.flatMap(linesForProof);
  process.stdout.write(`${lines.join("\n")}\n`);
  process.exitCode = proofs.every(({ ok }) => ok) ? 0 : 1;
}

/** On a terminal only, some times a second. */
function progress(): Given["onProgress"] {
  if (!process.stderr.isTTY) return () => {};
  let shownAt = 0;
  process.once("exit", () => process.stderr.write("\r\x1b[K"));
  return (log, entries) => {
    if (Date.now() - shownAt < 200) return;
    shownAt = Date.now();
    process.stderr.write(`\r\x1b[K${log}: ${entries} events`);
  };
}

/** @throws Error where it can't be told */
async function verify(flags: Flags, onProgress: Given["onProgress"]): Promise<Outcome> {
  const keys = await readKeys(flags.key);
  const given: Given = {
    keys,
    mustBeSigned: keys.length > 0,
    files: flags.checkpoint,
    log: flags.tenant,
    onProgress,
  };
  if (flags.export !== undefined) return verifyExport(given, linesOf(flags.export));
  const isLocal = keys.length === 0 && !process.env["DATABASE_URL"];
  const { client } = await connectReader({ dataDir: flags.data, databaseUrl: process.env["DATABASE_URL"] });
  try {
    return await verifyDatabase({ ...given, ...(isLocal && { keys: await localKeys(flags.data) }) }, client);
  } finally {
    await client.end().catch(() => {});
  }
}
