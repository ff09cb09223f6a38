import { Command } from "commander";
import { serviceNames, sluiceVersion } from "@sluice/contracts";

type Add = (program: Command) => void;

/** Of each command its module: one that is asked for by name is loaded alone, which spares a long-lived one memory. */
const commands: Readonly<Record<string, () => Promise<Add>>> = {
  up: async () => (await import("./up/index.ts")).addUpCommand,
  check: async () => (await import("./check.ts")).addCheckCommand,
  conf: async () => (await import("./conf/index.ts")).addConfCommands,
  tools: async () => (await import("./tools/index.ts")).addToolsCommands,
  audit: async () => (await import("./audit/index.ts")).addAuditCommands,
  policy: async () => (await import("./policy/index.ts")).addPolicyCommands,
  keys: async () => (await import("./keys/index.ts")).addKeyCommands,
  proxy: async () => (await import("./proxy/index.ts")).addProxyCommand,
  "verify-signature": async () => (await import("./verify-signature.ts")).addVerifySignatureCommand,
};
const services: ReadonlySet<string> = new Set(serviceNames);

const program = new Command("sluice")
  .description("One entry point for AI agents that speak MCP and A2A.")
  .version(sluiceVersion)
  .showHelpAfterError("(see --help)")
  .configureHelp({ sortSubcommands: false });

try {
  await addCommands(process.argv[2] ?? "");
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`sluice: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function addCommands(asked: string): Promise<void> {
  const isOneAlone = Object.hasOwn(commands, asked) && !services.has(asked);
  for (const [name, load] of Object.entries(commands)) if (!isOneAlone || name === asked) (await load())(program);
  if (isOneAlone) return;
  const { addServiceCommand } = await import("./service.ts");
  for (const service of serviceNames) addServiceCommand(program, service);
}
