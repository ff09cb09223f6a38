import { Option, type Command } from "commander";
import { openDatabase } from "./database.ts";
import { addExportCommand } from "./export/index.ts";
import { print } from "./print.ts";
import { addQueryCommand } from "./query.ts";
import { parseLimit, parseSince } from "./since.ts";
import { withAdminFlags } from "../admin-client.ts";
import { erase, type EraseFlags } from "./erase.ts";
import { keygen, type KeygenFlags } from "./keygen.ts";
import { migrateAudit, type MigrateFlags } from "./migrate.ts";
import { addProveCommand } from "./prove-command.ts";
import { tail, type TailOptions } from "./tail.ts";
import { addVerifyCommand } from "./verify-command.ts";

interface Flags {
  readonly json?: true;
  readonly agent?: string;
  readonly tenant?: string;
  readonly since?: Date;
  readonly follow?: true;
  readonly limit: number;
  readonly data: string;
}

/** Adds `sluice audit …`. */
export function addAuditCommands(program: Command): void {
  const audit = program.command("audit").description("the audit trail: read it, prepare its database, forget a person");
  audit
    .command("tail")
    .description("show the last calls, the newest last")
    .option("--json", "one JSON object per line")
    .option("--agent <id>", "only calls of this agent")
    .option("--tenant <name>", "only calls of this tenant")
    .addOption(
      new Option("--since <when>", "only calls since then: 90s, 15m, 1h, 7d or an ISO 8601 time").argParser(parseSince),
    )
    .option("-f, --follow", "go on with calls as they end, until Ctrl-C")
    .addOption(new Option("--limit <n>", "at most this many calls to begin with").argParser(parseLimit).default(20))
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .action(run);
  addQueryCommand(audit);
  addExportCommand(audit);
  addVerifyCommand(audit);
  addProveCommand(audit);
  audit
    .command("migrate")
    .description("bring the trail's tables and roles up to date, as the owner of the database")
    .addHelpText(
      "after",
      "\nDATABASE_URL names the owner, who may make roles; DATABASE_CA_FILE and the like its certificates.",
    )
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .action((flags: MigrateFlags) => migrateAudit(flags));
  audit
    .command("keygen")
    .description("make the key that signer signs the trail's trees with, and print its verifier key")
    .requiredOption(
      "--name <name>",
      "of the key, as it stands in signatures; better a name of yours: example.com/audit",
    )
    .option("--out <file>", "for the private key, which else is printed too")
    .action((flags: KeygenFlags) => keygen(flags));
  withAdminFlags(
    audit.command("erase").description("forget a person: what the trail calls them, and what was kept of their calls"),
  )
    .requiredOption("--tenant <name>", "whose trail; _gateway has what is no tenant's")
    .requiredOption("--subject <value>", "an agent's id or name, an owner, a user or an address, as the trail has it")
    .option("--yes", "do not ask")
    .action((flags: EraseFlags) => erase(flags));
}

async function run(flags: Flags): Promise<void> {
  await using database = await openDatabase({ dataDir: flags.data, databaseUrl: process.env["DATABASE_URL"] });
  await tail(database, optionsOf(flags), print);
}

function optionsOf({ agent, tenant, since, limit, follow, json }: Flags): TailOptions {
  return {
    limit,
    follow: follow === true,
    json: json === true,
    ...(agent !== undefined && { agent }),
    ...(tenant !== undefined && { tenant }),
    ...(since !== undefined && { since }),
  };
}
