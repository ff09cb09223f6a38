import { Option, type Command } from "commander";
import { connectAdmin, withAdminFlags, type AdminFlags } from "../admin-client.ts";
import { ascii, visible } from "../visible.ts";
import { decidedLine, definitionOf, findTools, pathOf, toolsPath, waitingOf, type Tool } from "./pins.ts";
import { toolLines } from "./table.ts";

interface ListFlags extends AdminFlags {
  readonly tenant?: string;
  readonly server?: string;
  readonly state?: string;
  readonly json?: true;
}

interface DiffFlags extends AdminFlags {
  readonly tenant?: string;
  readonly from?: string;
  readonly to?: string;
  readonly ascii?: true;
}

interface DecideFlags extends AdminFlags {
  readonly tenant?: string;
  readonly definition?: string;
  readonly all?: true;
}

type Verb = "approve" | "reject";

/** Adds `sluice tools …`: which definitions of tools were seen, how they differ, and deciding about them. */
export function addToolsCommands(program: Command): void {
  const tools = program.command("tools").description("definitions of tools: list, compare, approve, reject");
  const add = (name: string, description: string) =>
    withAdminFlags(tools.command(name).description(description)).option("--tenant <name>", "unless there is only one");
  add("list", "list the tools of servers whose definitions are looked at")
    .option("--server <name>", "only this server's")
    .addOption(new Option("--state <state>", "only those").choices(["approved", "quarantined", "rejected"]))
    .option("--json", "the admin API's answer as it is")
    .action(list);
  add("diff", "print how the definition that waits differs from the one that was approved")
    .argument("<server>")
    .argument("<tool>")
    .option("--from <hash>", "another definition to compare with")
    .option("--to <hash>", "another one to be compared")
    .option("--ascii", "show all that is not ASCII as its code, to tell letters that look alike")
    .action(diff);
  for (const [verb, description] of [
    ["approve", "approve the definition that waits; others that wait are rejected"],
    ["reject", "reject what waits: the tool is in use again where its server shows an approved definition"],
  ] as const)
    add(verb, description)
      .argument("<server>")
      .argument("[tool]")
      .option("--definition <hash>", "this one, whether it waits or was decided about; its first digits do")
      .option("--all", "of every tool of the server that has one waiting")
      .action((server: string, tool: string | undefined, flags: DecideFlags) => decide(verb, { server, tool }, flags));
}

async function list(flags: ListFlags): Promise<void> {
  const found = await findTools(await connectAdmin(flags), flags);
  process.stdout.write(flags.json === true ? `${JSON.stringify({ tools: found }, null, 2)}\n` : toolLines(found));
}

async function diff(server: string, tool: string, flags: DiffFlags): Promise<void> {
  const admin = await connectAdmin(flags);
  const { from, to } = flags;
  const query = new URLSearchParams({ ...(from !== undefined && { from }), ...(to !== undefined && { to }) });
  const path = pathOf(await toolsPath(admin, flags.tenant), { server, tool }, "diff");
  const found = await admin.get<{ diff: string }>(`${path}?${query.toString()}`);
  const shown = flags.ascii === true ? ascii : visible;
  process.stdout.write(found.diff.split("\n").map(shown).join("\n"));
}

async function decide(
  verb: Verb,
  { server, tool }: { server: string; tool: string | undefined },
  { tenant, definition, all, ...flags }: DecideFlags,
): Promise<void> {
  if ((tool === undefined) !== (all === true)) throw new Error("name one tool, or --all of the server");
  if (definition !== undefined && all === true) throw new Error("--definition is one tool's: leave out --all");
  const admin = await connectAdmin(flags);
  const state = all === true ? { state: "quarantined" } : {};
  const found = await findTools(admin, { ...(tenant !== undefined && { tenant }), server, ...state });
  const meant = found.filter((one) => tool === undefined || one.tool === tool);
  if (meant.length === 0 && tool !== undefined)
    throw new Error(`no tool ${server}/${tool} was seen: see sluice tools list`);
  const base = await toolsPath(admin, tenant);
  for (const one of meant) {
    const hash = definition === undefined ? waitingOf(one) : definitionOf(one, definition);
    const now = await admin.post<Tool>(pathOf(base, one, verb), { definition: hash });
    process.stdout.write(`${visible(`${server}/${one.tool}`)} ${decidedLine(now, hash)}\n`);
  }
  if (meant.length === 0) process.stdout.write(`nothing of ${server} waits\n`);
}
