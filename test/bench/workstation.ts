/** Starts `sluice proxy` as a developer would, with the upstream's key in its environment. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Credentials, Subject } from "./processes.ts";

const command = resolve(import.meta.dirname, "../../cli/bin/sluice.mjs");

export interface WorkstationOptions {
  readonly upstreamPort: number;
  readonly credentials: Credentials;
  readonly nodeArgs: readonly string[];
}

export async function startWorkstation(options: WorkstationOptions, stack: AsyncDisposableStack): Promise<Subject> {
  const { upstreamPort, credentials, nodeArgs } = options;
  const cwd = await mkdtemp(join(tmpdir(), "sluice-bench-proxy-"));
  stack.defer(() => rm(cwd, { recursive: true, force: true }));
  const child = spawn(process.execPath, [...nodeArgs, command, "proxy"], {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env["PATH"],
      PORT: "0",
      MCP_UPSTREAM_URL: `http://127.0.0.1:${upstreamPort}/mcp`,
      MCP_API_KEY: "bench",
      MCP_API_SECRET: credentials.secret,
    },
  });
  stack.defer(async () => {
    if (child.exitCode !== null) return;
    child.kill();
    await once(child, "exit");
  });
  const port = await new Promise<number>((found, reject) => {
    child.once("exit", () => reject(new Error("sluice proxy has ended")));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [, text] = /"url":"http:\/\/127\.0\.0\.1:(\d+)/.exec(line) ?? [];
      if (text !== undefined) found(Number(text));
    });
  });
  const target = { port, path: "/mcp", key: credentials.keys.bench };
  return {
    name: "sluice",
    targetOf: ({ isWorkstation }) => (isWorkstation ? target : undefined),
    processes: [{ name: "proxy", pid: child.pid ?? 0 }],
  };
}
