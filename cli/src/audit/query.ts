import { Option, type Command } from "commander";
import { pageQuestionSchema, trailFilters, type Paging, type TrailFilter, type TrailView } from "@sluice/contracts";
import { cursorOf, type TrailQuery } from "@sluice/trail";
import { openDatabase, type AuditDatabase } from "./database.ts";
import { print } from "./print.ts";
import { parseLimit, parseSince } from "./since.ts";
import { tables } from "./tables.ts";

interface Flags {
  readonly actions?: true;
  readonly refusals?: true;
  readonly streams?: true;
  readonly json?: true;
  readonly all?: true;
  readonly limit: number;
  readonly cursor?: string;
  readonly order: Paging["order"];
  readonly data: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly [filter: string]: unknown;
}

type Shown = keyof typeof tables;

const examples = `
Values are compared whole and as they are written. Without --actions, --refusals or --streams it is calls that are shown.

Examples:
  sluice audit query --tenant acme --agent planner --since 24h
  sluice audit query --decision deny --since 7d --json
  sluice audit query --status 503 --server files --limit 500
  sluice audit query --trace 4bf92f3577b34da6a3ce929d0e0e4736
  sluice audit query --state outcome-unknown --all
  sluice audit query --actions --operator alice
  sluice audit query --refusals --since 1h`;

/** Adds `sluice audit query`. */
export function addQueryCommand(audit: Command): void {
  const command = audit
    .command("query")
    .description("find calls, what operators did, and what was refused, the newest first")
    .option("--actions", "what operators did and tried, and what was found out")
    .option("--refusals", "requests that were refused before anybody was known")
    .option("--streams", "events of streams of A2A tasks");
  addTimeFlags(command);
  for (const [flag, description] of filterFlags) command.option(flag, description);
  command
    .addOption(new Option("--limit <n>", "at most this many").argParser(parseLimit).default(100))
    .option("--cursor <text>", "go on after an earlier answer, which says so on stderr where there is more")
    .option("--all", "all that fits, however much it is")
    .addOption(new Option("--order <which>", "which come first").choices(["newest", "oldest"]).default("newest"))
    .option("--json", "one JSON object per line, with all columns")
    .option("--data <dir>", "data directory of a running sluice, used unless DATABASE_URL is set", ".sluice")
    .addHelpText("after", examples)
    .action(run);
}

/** Adds the flags that say whose events, and of which time. */
export function addTimeFlags(command: Command): Command {
  const when = "90s, 15m, 1h, 7d or an ISO 8601 time";
  return command
    .option("--tenant <name>", "only of this tenant; _gateway has what is no tenant's")
    .addOption(new Option("--since <when>", `at this time or after it: ${when}`).argParser(parseSince))
    .addOption(new Option("--until <when>", `before this time: ${when}`).argParser(parseSince));
}

const filterFlags = [
  ["--agent <id>", "the calling agent, or erased-… as the trail shows one that was forgotten"],
  ["--user <id>", "on whose behalf it called"],
  ["--owner <name>", "of the agent"],
  ["--server <name>", "that was called"],
  ["--method <name>", "such as tools/call"],
  ["--target <name>", "tool, prompt or resource URI"],
  ["--decision <word>", "allow or deny"],
  ["--status <code>", "the HTTP status of the answer"],
  ["--fault <word>", "why it failed, such as upstream_timeout"],
  ["--rule <rule>", "that decided, such as accessRules[0]"],
  ["--session <hash>", "session_hash of another call"],
  ["--trace <id>", "the trace"],
  ["--task <id>", "of A2A"],
  ["--state <word>", "done, under-way or outcome-unknown"],
  ["--operator <name>", "with --actions: who did it"],
  ["--action <name>", "with --actions: such as keys.create"],
  ["--subject <name>", "with --actions: what it was done to"],
  ["--result <word>", "with --actions: done, failed, refused, noted or outcome-unknown"],
  ["--peer <address>", "with --refusals: who asked"],
  ["--call <id>", "with --streams: the call that opened it"],
] as const;

async function run(flags: Flags): Promise<void> {
  const view = viewOf(flags);
  const { order, cursor, limit } = flags;
  const filter = filterOf(view, flags);
  await using database = await openDatabase({ dataDir: flags.data, databaseUrl: process.env["DATABASE_URL"] });
  const bound = flags.all === true ? {} : { limit: limit + 1 };
  const more = await show(database, { view, filter, order, ...(cursor !== undefined && { cursor }), ...bound }, flags);
  if (more !== undefined) process.stderr.write(`there are more: --cursor ${more}\n`);
}

/** Prints what fits; the cursor of what comes after it, where more was asked for than is to be shown. */
async function show(
  database: AuditDatabase,
  query: TrailQuery & { readonly view: Shown },
  { json, all, limit }: Flags,
): Promise<string | undefined> {
  const table = tables[query.view];
  if (json !== true && !(await print(table.header))) return undefined;
  let shown = 0;
  let last: string | undefined;
  for await (const chunk of database.rows(query))
    for (const { row, place } of chunk) {
      if (all !== true && shown === limit) return last;
      if (!(await print(json === true ? JSON.stringify(row) : table.line(row)))) return undefined;
      shown++;
      last = cursorOf(place);
    }
  return undefined;
}

function viewOf({ actions, refusals, streams }: Flags): Shown {
  const asked = [actions && "actions", refusals && "refusals", streams && "streams"].filter(
    (view) => view !== undefined,
  );
  if (asked.length > 1) throw new Error("--actions, --refusals and --streams: give one of them");
  return (asked[0] ?? "calls") as Shown;
}

/** @throws Error that names the flag */
export function filterOf<View extends TrailView>(
  view: View,
  flags: Readonly<Record<string, unknown>>,
): TrailFilter[View] {
  const known = Object.keys(trailFilters[view].shape);
  const asked: Record<string, unknown> = {};
  for (const name of [...filterFlags.map(([flag]) => /^--(\w+)/.exec(flag)?.[1] ?? ""), "tenant", "since", "until"]) {
    const value = flags[name];
    if (value === undefined) continue;
    if (!known.includes(name)) throw new Error(`--${name} says nothing about ${view}`);
    asked[name] = value instanceof Date ? value.toISOString() : value;
  }
  const question = pageQuestionSchema.safeParse({ view, filter: asked, paging: {} });
  if (question.success) return question.data.filter;
  const [issue] = question.error.issues;
  throw new Error(`--${String(issue?.path.at(-1))}: ${issue?.message}`);
}
