import { Option, type Command } from "commander";
import type { TrailRow } from "@sluice/contracts";
import { openDatabase, type AuditDatabase } from "../database.ts";
import { exportEntries } from "../export-entries.ts";
import { addTimeFlags, filterOf } from "../query.ts";
import { encodeCsv } from "./csv.ts";
import { writeOutput, type Encode, type Output } from "./output.ts";
import { encodeParquet } from "./parquet.ts";
import { Progress } from "../progress.ts";

/** One row per call, for analysis. A new format is a file beside this one and a line here. */
const tables: Readonly<Record<string, Encode>> = { csv: encodeCsv, parquet: encodeParquet };

interface Flags {
  readonly format: string;
  readonly out: string;
  readonly force?: true;
  readonly content?: true;
  readonly tenant?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly data: string;
}

const help = `
jsonl is the whole trail of a log, events, checkpoints and salts, as sluice audit verify --export checks it; it has no --since and --until.
csv and parquet have one row per call, the oldest first, to be counted and searched. In csv a text that a spreadsheet would take for a
formula begins with '. Files are written under another name first: what is there under the name that was given is whole.

Examples:
  sluice audit export --format jsonl --out trail.jsonl
  sluice audit export --format csv --tenant acme --since 30d --out calls.csv
  sluice audit export --format parquet --since 2026-10-01 --until 2026-11-01 --out october.parquet
  sluice audit export --format csv --out - | head`;

/** Adds `sluice audit export`. */
export function addExportCommand(audit: Command): void {
  const command = audit
    .command("export")
    .description("write the trail, or its calls, to a file")
    .addOption(
      new Option("--format <format>", "of the file").choices(["jsonl", ...Object.keys(tables)]).makeOptionMandatory(),
    )
    .requiredOption("--out <file>", "where to; - is standard output");
  addTimeFlags(command)
    .option(
      "--content",
      "with --format jsonl: what calls said too, where it is kept; the login must be allowed to read it",
    )
    .option("--force", "replace a file that is there")
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .addHelpText("after", help)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const { format, out, force, since, until, content } = flags;
  const encode = tables[format];
  if (encode === undefined && (since !== undefined || until !== undefined))
    throw new Error(
      "--since and --until are for csv and parquet: jsonl is a log from its first event on, or it proves nothing",
    );
  if (encode !== undefined && content === true) throw new Error("--content is for jsonl");
  await using database = await openDatabase({
    dataDir: flags.data,
    databaseUrl: process.env["DATABASE_URL"],
    asks: content === true ? "content" : "trail",
  });
  const progress = new Progress(encode === undefined ? "lines" : "calls");
  const isWhole = await writeOutput({ file: out, force: force === true }, (output) =>
    encode === undefined
      ? writeEntries(database, flags, { output, progress })
      : encode(callsOf(database, flags, progress), output),
  ).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      // Nobody reads any more.
      if (error.code === "EPIPE") return false;
      throw error;
    },
  );
  if (isWhole) progress.end(out === "-" ? "written" : `written to ${out}`);
}

async function* callsOf(
  database: AuditDatabase,
  { tenant, since, until }: Flags,
  progress: Progress,
): AsyncGenerator<readonly TrailRow[]> {
  const filter = filterOf("calls", { tenant, since, until });
  for await (const chunk of database.rows({ view: "calls", filter, order: "oldest" })) {
    yield chunk.map(({ row }) => row);
    progress.add(chunk.length);
  }
}

/** Lines in blocks of so many characters. */
const blockLength = 256 * 1024;

async function writeEntries(
  { client }: AuditDatabase,
  { tenant, content }: Flags,
  { output, progress }: { readonly output: Output; readonly progress: Progress },
): Promise<void> {
  let block = "";
  for await (const line of exportEntries(client, {
    ...(tenant !== undefined && { log: tenant }),
    content: content === true,
  })) {
    block += `${line}\n`;
    progress.add(1);
    if (block.length < blockLength) continue;
    await output.write(block);
    block = "";
  }
  await output.write(block);
}
