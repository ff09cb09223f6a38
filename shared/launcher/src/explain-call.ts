import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { LaunchError } from "./part.ts";
import { upstreamNetworksHere } from "./upstream-networks.ts";

const main = fileURLToPath(new URL("../../../services/control/dist/explain.js", import.meta.url));

/** How control explains a call under a configuration that need not be in force; question and answer as JSON. @throws LaunchError */
export async function explainCall(confDir: string, question: string): Promise<string> {
  const env = { ...process.env, UPSTREAM_NETWORKS: upstreamNetworksHere() };
  const child = spawn(process.execPath, [main, confDir], { env, stdio: "pipe" });
  child.stdin.on("error", () => {});
  child.stdin.end(question);
  const [answer, problem] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  if (child.exitCode !== 0) throw new LaunchError(problem.trimEnd() || "the call could not be explained");
  return answer;
}
