import { InvalidArgumentError, Option, type Command } from "commander";
import { connectAdmin, withAdminFlags, type AdminClient, type AdminFlags } from "../admin-client.ts";
import { credentialLines, madeLine, type Credential } from "./credential.ts";

type Flags = AdminFlags & { readonly tenant?: string; readonly json?: true };
type MakingFlags = Flags & {
  readonly agent?: string;
  readonly name?: string;
  readonly owner?: string;
  readonly scope?: readonly string[];
};
type Kind = "keys" | "tokens";

/** Adds `sluice keys …` and `sluice tokens …`. */
export function addKeyCommands(program: Command): void {
  const keys = program.command("keys").description("API keys of agents: make, rotate, revoke, list");
  whoFor(addTo(keys, "create", "make a key and print it, this once"), true)
    .option("--expires <seconds>", "it does not expire unless said", seconds)
    .action((flags: MakingFlags & { expires?: number }) =>
      make("keys", flags, { ...wantedOf(flags), expiresInSeconds: flags.expires }),
    );
  addTo(keys, "rotate", "make a key that takes another's place, and print it")
    .argument("<id>", "of the key, as list shows it after slk_", id)
    .requiredOption("--overlap <seconds>", "how long the old key stays good", seconds)
    .option("--expires <seconds>", "of the new key; it does not expire unless said", seconds)
    .action((old: string, flags: Flags & { overlap: number; expires?: number }) =>
      make(`keys/${old}/rotate`, flags, { overlapSeconds: flags.overlap, expiresInSeconds: flags.expires }),
    );
  addCommon(keys, "keys");
  const tokens = program.command("tokens").description("gateway tokens of runs of agents: make, revoke, list");
  whoFor(addTo(tokens, "create", "make a token and print it, this once"), false)
    .requiredOption("--runtime <id>", "the run that it is for; its agent too, unless --agent says another")
    .option("--ttl <seconds>", "the tenant's mcp_token_ttl_seconds unless said, which is the most too", seconds)
    .option("--for-operator", "the agent acts on your behalf; the token ends with yours")
    .action((flags: MakingFlags & { runtime: string; ttl?: number; forOperator?: true }) =>
      make("tokens", flags, {
        ...wantedOf(flags),
        runtime: flags.runtime,
        ttlSeconds: flags.ttl,
        forOperator: flags.forOperator,
      }),
    );
  addCommon(tokens, "tokens");
}

function addCommon(parent: Command, kind: Kind): void {
  addTo(parent, "revoke", "take it away: 401 from now on, and its streams end")
    .argument("<id>", "as list shows it after the underscore", id)
    .action(async (which: string, flags: Flags) => {
      const admin = await connectAdmin(flags);
      const revoked = await admin.post<Credential>(await pathOf(admin, `${kind}/${which}/revoke`, flags), {});
      print(flags, revoked, () => `${revoked.prefix} of agent ${revoked.agent} is revoked.\n`);
    });
  addTo(parent, "list", "list them, never what they are shown with")
    .option("--agent <id>", "only those of this agent")
    .action((flags: Flags & { agent?: string }) => list(kind, flags));
}

function addTo(parent: Command, name: string, description: string): Command {
  return withAdminFlags(parent.command(name).description(description))
    .option("--tenant <name>", "may be left out where there is only one")
    .option("--json", "the admin API's answer as it is");
}

function whoFor(command: Command, isMandatory: boolean): Command {
  const agent = new Option("--agent <id>", "as tenants.yaml has it, or another one, with a name");
  return command
    .addOption(agent.makeOptionMandatory(isMandatory))
    .option("--name <name>", "of an agent that is not in tenants.yaml")
    .option("--owner <name>", "of an agent that is not in tenants.yaml")
    .option("--scope <scopes...>", "what it may be used for, such as mcp:tools:invoke");
}

function wantedOf({ agent, name, owner, scope }: MakingFlags) {
  return { agent, name, owner, scopes: scope };
}

/** @param what such as `keys`, or `keys/<id>/rotate` */
async function make(what: `${Kind}${string}`, flags: Flags, wanted: object): Promise<void> {
  const admin = await connectAdmin(flags);
  const made = await admin.post<Credential>(await pathOf(admin, what, flags), wanted);
  print(flags, made, () => `${made.key ?? made.token}\n`);
  if (flags.json !== true) process.stderr.write(madeLine(made));
}

async function list(kind: Kind, flags: Flags & { agent?: string }): Promise<void> {
  const admin = await connectAdmin(flags);
  const path = await pathOf(admin, kind, flags);
  const all: Credential[] = [];
  for (let after: string | undefined = ""; after !== undefined;) {
    const query = new URLSearchParams({ after, ...(flags.agent !== undefined && { agent: flags.agent }) });
    const page: { credentials: Credential[]; next?: string } = await admin.get(`${path}?${query.toString()}`);
    all.push(...page.credentials);
    after = page.next;
  }
  print(flags, all, () => credentialLines(all));
}

async function pathOf(admin: AdminClient, what: string, { tenant }: Flags): Promise<string> {
  const { tenants } =
    tenant === undefined ? await admin.get<{ tenants: string[] }>("/v1/status") : { tenants: [tenant] };
  if (tenants.length !== 1) throw new Error(`name a tenant with --tenant: ${tenants.join(", ")}`);
  return `/v1/tenants/${encodeURIComponent(tenants[0] ?? "")}/${what}`;
}

function print({ json }: Flags, answer: unknown, text: () => string): void {
  process.stdout.write(json === true ? `${JSON.stringify(answer, null, 2)}\n` : text());
}

/** Without what a credential begins with, should somebody have copied that too. */
function id(text: string): string {
  const bare = text.replace(/^sl[kt]_/, "");
  if (!/^[0-9a-f]{16}$/.test(bare)) throw new InvalidArgumentError("an id is 16 hex digits");
  return bare;
}

function seconds(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0) throw new InvalidArgumentError("give a whole number of seconds");
  return number;
}
