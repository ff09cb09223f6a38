import { spawn } from "node:child_process";
import type { Command } from "commander";
import type { ServiceName } from "@sluice/contracts";
import { nodeArguments, serviceMain } from "@sluice/launcher";

const purposes: Record<ServiceName, string> = {
  ingress: "the agents' HTTP endpoint: authenticates, asks for admission, relays answers",
  policy: "decides which agent may use which tool",
  "rate-limit": "counts calls in sliding windows (Redis)",
  "session-manager": "maps MCP sessions to their owners (Redis)",
  egress: "signs calls and forwards them to upstreams",
  audit: "writes the audit trail (Postgres)",
  signer: "signs the trees of the audit trail (Postgres, for reading)",
  control: "validates conf/tenants.yaml and publishes it; admin API",
};

/** `sluice <service>`: one service, configured by environment variables. `audit` has subcommands of its own besides. */
export function addServiceCommand(program: Command, service: ServiceName): void {
  const command = program.commands.find((known) => known.name() === service) ?? program.command(service);
  command
    .description(`run one service: ${purposes[service]}`)
    .addHelpText("after", "\nSettings are environment variables; docs/configuration.md lists them.")
    .action(() => run(service));
}

function run(service: ServiceName): Promise<void> {
  const child = spawn(process.execPath, [...nodeArguments, serviceMain(service)], { stdio: "inherit" });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => child.kill(signal));
  const ended = Promise.withResolvers<void>();
  child.once("error", ended.reject);
  child.once("exit", (code) => {
    process.exitCode = code ?? 1;
    ended.resolve();
  });
  return ended.promise;
}
