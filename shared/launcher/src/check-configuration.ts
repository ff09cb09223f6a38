import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { LaunchError } from "./part.ts";
import { upstreamNetworksHere } from "./upstream-networks.ts";

const run = promisify(execFile);
/** The program that checks a configuration without running anything. */
export const confCheckMain = fileURLToPath(new URL("../../../services/control/dist/check.js", import.meta.url));

/** What control would say of a `tenants.yaml`, before anything is started. Resolves with warnings. @throws LaunchError with every problem. */
export async function checkConfiguration(file: string): Promise<string[]> {
  const env = { ...process.env, UPSTREAM_NETWORKS: upstreamNetworksHere() };
  try {
    const { stdout } = await run(process.execPath, [confCheckMain, file], { env });
    return stdout.split("\n").filter((line) => line !== "");
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new LaunchError(`the configuration is not usable:\n${stderr?.trimEnd() || message}`);
  }
}
