import { createHash, createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnService, type ServiceProcess } from "@sluice/launcher";
import type { ReceivedRequest } from "@sluice/testing";

export const sluice = join(import.meta.dirname, "../../cli/bin/sluice.mjs");
export const apiKey = "workstation-1";
export const apiSecret = "b51cd2f47e0a96338c7de1f2a04b5566";

interface LogLine extends Readonly<Record<string, unknown>> {
  readonly msg: string;
}

/** `sluice proxy` as a developer starts it: a process with an environment and nothing else. */
export interface ProxyRun extends AsyncDisposable {
  readonly url: string;
  readonly process: ServiceProcess;
  /** Everything it wrote. */
  readonly output: readonly string[];
  logged(): readonly LogLine[];
}

export async function startProxy(upstream: string, env: Readonly<Record<string, string>> = {}): Promise<ProxyRun> {
  const cwd = await mkdtemp(join(tmpdir(), "sluice-proxy-"));
  const output: string[] = [];
  const ready = Promise.withResolvers<string>();
  const child = await spawnService({
    name: "proxy",
    command: process.execPath,
    args: [sluice, "proxy"],
    env: { ...environment(upstream), PORT: "0", ...env },
    cwd,
    onLine: (line) => {
      output.push(line);
      const url = /"url":"([^"]+)".*"msg":"ready"/.exec(line)?.[1];
      if (url !== undefined) ready.resolve(url);
    },
  });
  void child.exit.then(() => ready.reject(new Error(`the proxy ended:\n${output.join("\n")}`)));
  return {
    url: await ready.promise,
    process: child,
    output,
    logged: () => output.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as LogLine),
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await rm(cwd, { recursive: true, force: true });
    },
  };
}

export function environment(upstream: string): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    MCP_UPSTREAM_URL: upstream,
    MCP_API_KEY: apiKey,
    MCP_API_SECRET: apiSecret,
  };
}

/** What docs/signing.md says, written from it alone: whether the request is signed as it came. */
export function isSigned({ method, url, headers, body }: ReceivedRequest, mode: "auth-gateway" | "strict"): boolean {
  const field = (name: string) => String(headers[name]);
  const [path = "", query = ""] = url.split("?", 2);
  const lines =
    mode === "auth-gateway"
      ? [method, path, field("x-timestamp")]
      : ["SLUICE-HMAC-SHA256", method, path, query, field("x-timestamp"), field("x-nonce"), hash(body)];
  const expected = createHmac("sha256", apiSecret).update(lines.join("\n")).digest("hex");
  const isRecent = Math.abs(Date.now() / 1_000 - Number(field("x-timestamp"))) < 60;
  return field("x-api-key-id") === apiKey && field("x-signature") === expected && isRecent;
}

function hash(body: Buffer): string {
  return createHash("sha256").update(body).digest("hex");
}
