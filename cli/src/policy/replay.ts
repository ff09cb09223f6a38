import { Option, type Command } from "commander";
import { startReplay, type Replaying } from "@sluice/launcher";
import type { TrailRow } from "@sluice/contracts";
import { openDatabase } from "../audit/database.ts";
import { Progress } from "../audit/progress.ts";
import { addTimeFlags, filterOf } from "../audit/query.ts";
import { parseLimit } from "../audit/since.ts";
import { reportLines, type Replayed } from "./replay-lines.ts";

interface Flags {
  readonly conf: string;
  readonly tenant?: string;
  readonly agent?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly limit: number;
  readonly json?: true;
  readonly exitCode?: true;
  readonly data: string;
}

const help = `
What is compared is what rules decide: limits, authentication and what servers answered are taken as they were.

Exit code 0: the calls were replayed, whatever came of it. 1: they could not be. 2: the configuration is refused.
With --exit-code 3: some would be decided otherwise. 4: none would, but of some it can't be told.

Examples:
  sluice policy replay --conf new-conf --since 7d
  sluice policy replay --conf new-conf/tenants.yaml --tenant acme --since 30d --exit-code --json`;
const otherwiseExit = 3;
const untoldExit = 4;

/** Of a call what decisions hang on. */
const columns = [
  ...["call", "at", "tenant", "agent_id", "agent_name", "agent_owner", "auth", "auth_issuer", "auth_user", "scopes"],
  ...["protocol", "path", "method", "target", "target_kind", "server", "named_server", "resumes", "arguments_hash"],
  ...["state", "decision", "rule", "fault"],
];

/** Adds `sluice policy replay`. */
export function addReplayCommand(policy: Command): void {
  const command = policy
    .command("replay")
    .description("say which recorded calls a changed configuration would decide otherwise, before it is in force")
    .requiredOption("--conf <dir>", "the changed configuration: directory of tenants.yaml, or the file");
  addTimeFlags(command)
    .option("--agent <id>", "only of this agent")
    .addOption(
      new Option("--limit <n>", "show at most this many groups of each kind").argParser(parseLimit).default(50),
    )
    .option("--json", "one JSON object, with all groups")
    .option("--exit-code", "say by the exit code whether anything would be decided otherwise")
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .addHelpText("after", help)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const started = await startReplay(flags.conf);
  if (typeof started === "number") {
    process.exitCode = started;
    return;
  }
  await using replaying = started;
  await sendCalls(replaying, flags);
  const answer = await replaying.end();
  const report = JSON.parse(answer) as Replayed;
  const text = flags.json === true ? answer.trimStart() : `${reportLines(report, flags.limit).join("\n")}\n`;
  process.stdout.write(text);
  if (flags.exitCode !== true) return;
  process.exitCode = report.otherwise > 0 ? otherwiseExit : report.untold.calls > 0 ? untoldExit : 0;
}

async function sendCalls(replaying: Replaying, { data, tenant, agent, since, until }: Flags): Promise<void> {
  const filter = filterOf("calls", { tenant, agent, since, until });
  const progress = new Progress("calls");
  await using database = await openDatabase({ dataDir: data, databaseUrl: process.env["DATABASE_URL"] });
  for await (const chunk of database.rows({ view: "calls", filter, order: "oldest" })) {
    await replaying.write(chunk.map(({ row }) => `${lineOf(row)}\n`).join(""));
    progress.add(chunk.length);
  }
  progress.end("read");
}

function lineOf(row: TrailRow): string {
  return JSON.stringify(Object.fromEntries(columns.map((name) => [name, row[name] ?? null])));
}
