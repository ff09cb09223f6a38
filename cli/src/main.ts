import { Command } from "commander";
import { serviceNames } from "@sluice/contracts";
import { addAuditCommands } from "./audit/index.ts";
import { addCheckCommand } from "./check.ts";
import { addPolicyCommands } from "./policy/index.ts";
import { addConfCommands } from "./conf/index.ts";
import { addKeyCommands } from "./keys/index.ts";
import { addProxyCommand } from "./proxy/index.ts";
import { addServiceCommand } from "./service.ts";
import { addToolsCommands } from "./tools/index.ts";
import { addUpCommand } from "./up/index.ts";
import { addVerifySignatureCommand } from "./verify-signature.ts";

const program = new Command("sluice")
  .description("One entry point for AI agents that speak MCP and A2A.")
  .version("0.1.0")
  .showHelpAfterError("(see --help)")
  .configureHelp({ sortSubcommands: false });

addUpCommand(program);
addCheckCommand(program);
addConfCommands(program);
addToolsCommands(program);
addAuditCommands(program);
addPolicyCommands(program);
addKeyCommands(program);
addProxyCommand(program);
addVerifySignatureCommand(program);
for (const service of serviceNames) addServiceCommand(program, service);

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`sluice: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
