import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Command } from "commander";
import { confCheckMain, upstreamNetworksHere } from "@sluice/launcher";

const help = `
Prints file:line:column: path: reason for each problem (stderr) and each warning (stdout).
Exit code 0: usable, warnings or not. 2: not usable. 1: it could not be told.
UPSTREAM_NETWORKS says which networks beside public addresses it may name, as for control; unless it is
set, those on this machine, as for "sluice up" (127.0.0.0/8,::1/128). Set it empty to allow public ones only.`;

/** `sluice check`: what control would say of a configuration, without anything running. */
export function addCheckCommand(program: Command): void {
  program
    .command("check")
    .description("check a configuration: file, line, column and reason of every problem")
    .argument("[path]", "directory with tenants.yaml, or the file itself", "conf")
    .option("--json", "one JSON object: ok, file, problems, warnings")
    .addHelpText("after", help)
    .action(check);
}

async function check(path: string, { json }: { json?: true }): Promise<void> {
  const flags = json === true ? ["--json"] : [];
  const child = spawn(process.execPath, [confCheckMain, ...flags, "--", path], {
    stdio: "inherit",
    env: { ...process.env, UPSTREAM_NETWORKS: upstreamNetworksHere() },
  });
  const [code] = (await once(child, "close")) as [number | null];
  process.exitCode = code ?? 1;
}
