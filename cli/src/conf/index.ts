import { InvalidArgumentError, type Command } from "commander";
import { connectAdmin, withAdminFlags, type AdminFlags } from "../admin-client.ts";
import { historyLines, type ConfHistory } from "./history.ts";

type Flags = AdminFlags & { readonly json?: true };

/** Adds `sluice conf …`: what was in force when, what changed, and back to it. */
export function addConfCommands(program: Command): void {
  const conf = program.command("conf").description("versions of conf/tenants.yaml: list, show, compare, go back");
  const add = (name: string, description: string) =>
    withAdminFlags(conf.command(name).description(description)).option("--json", "the admin API's answer as it is");
  add("history", "list the versions that are kept, the newest first").action(history);
  add("show", "print the text of a version")
    .argument("[version]", "the one in force unless said", version)
    .action(show);
  add("diff", "print what changed from one version to another")
    .argument("[from]", "the one before `to` unless said", version)
    .argument("[to]", "the one in force unless said", version)
    .action(diff);
  add("rollback", "put the text of an earlier version back into the file, and so into force")
    .argument("<version>", "as history lists it", version)
    .action(rollback);
}

async function history(flags: Flags): Promise<void> {
  const found = await (await connectAdmin(flags)).get<ConfHistory>("/v1/conf/history");
  print(flags, found, () => historyLines(found));
}

async function show(wanted: number | undefined, flags: Flags): Promise<void> {
  const found = await (await connectAdmin(flags)).get<{ text: string }>(`/v1/conf/${wanted ?? "current"}`);
  print(flags, found, () => found.text);
}

async function diff(from: number | undefined, to: number | undefined, flags: Flags): Promise<void> {
  const given = Object.entries({ from, to }).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}=${value}`,
  );
  const found = await (
    await connectAdmin(flags)
  ).get<{ from: number; to: number; diff: string }>(`/v1/conf/diff?${given.join("&")}`);
  print(flags, found, () => found.diff || `Versions ${found.from} and ${found.to} are the same, letter by letter.\n`);
}

async function rollback(wanted: number, flags: Flags): Promise<void> {
  const admin = await connectAdmin(flags);
  const done = await admin.post<{ version: number; kept?: string }>("/v1/conf/rollback", { version: wanted });
  const kept = done.kept === undefined ? "" : `What stood in the file and was not in force is kept in ${done.kept}.\n`;
  print(flags, done, () => `The text of version ${wanted} is in force, as version ${done.version}.\n${kept}`);
}

function print({ json }: Flags, answer: unknown, text: () => string): void {
  process.stdout.write(json === true ? `${JSON.stringify(answer, null, 2)}\n` : text());
}

function version(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError("a version is a number from 1 on");
  return number;
}
