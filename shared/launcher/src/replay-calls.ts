import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { LaunchError } from "./part.ts";
import { upstreamNetworksHere } from "./upstream-networks.ts";

const main = fileURLToPath(new URL("../../../services/control/dist/replay.js", import.meta.url));

/** Recorded calls on their way to control's evaluator. */
export interface Replaying extends AsyncDisposable {
  /** Takes calls as JSON, one a line; resolves once there is room for more. */
  write(lines: string): Promise<void>;
  /** What came of all calls, as JSON. @throws LaunchError */
  end(): Promise<string>;
}

/** Starts replaying under a configuration that need not be in force. Gives the exit code where that is refused: stderr says why, as `sluice check`. */
export async function startReplay(confDir: string): Promise<Replaying | number> {
  const env = { ...process.env, UPSTREAM_NETWORKS: upstreamNetworksHere() };
  const child = spawn(process.execPath, [main, confDir], { env, stdio: ["pipe", "pipe", "inherit"] });
  const { stdin, stdout } = child;
  const closed = once(child, "close") as Promise<[number | null]>;
  stdin.on("error", () => {});
  await once(stdout, "readable");
  if (stdout.readableLength === 0) return (stdout.resume(), (await closed)[0]) ?? 1;
  return {
    write: async (lines) => {
      if (child.exitCode !== null || stdin.destroyed) throw new LaunchError("the calls could not be replayed");
      if (!stdin.write(lines)) await Promise.race([once(stdin, "drain"), closed]);
    },
    end: async () => {
      stdin.end();
      const [answer, [code]] = await Promise.all([text(stdout), closed]);
      if (code !== 0) throw new LaunchError("the calls could not be replayed");
      return answer;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill();
      stdout.resume();
      await closed;
    },
  };
}
