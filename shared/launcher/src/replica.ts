import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceName } from "@sluice/contracts";
import { cacheDirOf } from "./binaries.ts";
import { freePort } from "./free-port.ts";
import { LaunchError } from "./part.ts";
import { spawnService, type ServiceProcess } from "./spawn-service.ts";

/** One running process of a service. */
export interface Replica {
  readonly service: ServiceName;
  readonly number: number;
  readonly process: ServiceProcess;
  /** Where `/health`, `/ready` and `/metrics` are. */
  readonly health: string;
  /** Where its own listener is, for ingress and control. */
  readonly url: string | undefined;
  readonly logFile: string;
  /** Resolves when it takes work. */
  readonly ready: Promise<void>;
  /** Set before ending it, so that its end is no surprise. */
  endedOnPurpose: boolean;
}

export interface ReplicaOptions {
  readonly service: ServiceName;
  readonly number: number;
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
  /** Of its own listener. */
  readonly port: number | undefined;
}

const readyTimeoutMs = 60_000;
const pollMs = 25;
const root = fileURLToPath(new URL("../../../", import.meta.url));
const register = fileURLToPath(new URL("../../telemetry/dist/register.js", import.meta.url));
/** What a service gets by its own needs only. */
const notInherited = [
  ...[
    "NATS_URL",
    "REDIS_URL",
    "DATABASE_URL",
    "AUDIT_KEEPER_DATABASE_URL",
    "SIGNER_KEY",
    "AUDIT_READER_DATABASE_URL",
    "AUDIT_CONTENT_DATABASE_URL",
    "ADMIN_TOKEN",
    "PUSH_ENCRYPTION_KEY",
    "PUSH_SIGNING_KEY",
  ],
  ...["PORT", "HOST", "HEALTH_PORT"],
];

/** The file that runs a service. */
export function serviceMain(service: ServiceName): string {
  return `${root}services/${service}/dist/main.js`;
}

function schemeOf(service: ServiceName, env: NodeJS.ProcessEnv): string {
  return env[service === "control" ? "ADMIN_TLS_CERT_FILE" : "TLS_CERT_FILE"] === undefined ? "http" : "https";
}

/**
 * What goes in front of a service's file on node's command line. With node's own larger young generation a call costs 10 to
 * 15 % more CPU in ingress and egress, and with one of 16 MB or less too (docs/benchmark.md).
 */
export const nodeArguments: readonly string[] = [
  "--enable-source-maps",
  "--max-semi-space-size=32",
  "--import",
  register,
];

/** What node has compiled before it need not compile again: a third of the CPU of a service's start. */
function compiled(): NodeJS.ProcessEnv {
  return { NODE_COMPILE_CACHE: join(cacheDirOf(process.env), "compiled") };
}

export async function startReplica({ service, number, logFile, env, port }: ReplicaOptions): Promise<Replica> {
  const healthPort = await freePort();
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !notInherited.includes(name)));
  const child = await spawnService({
    name: service,
    command: process.execPath,
    args: [...nodeArguments, serviceMain(service)],
    env: {
      ...compiled(),
      ...inherited,
      OTEL_SERVICE_NAME: `sluice-${service}`,
      ...env,
      HEALTH_PORT: String(healthPort),
    },
    logFile,
  });
  const health = `http://127.0.0.1:${healthPort}`;
  return {
    service,
    number,
    process: child,
    health,
    url: port === undefined ? undefined : `${schemeOf(service, { ...inherited, ...env })}://127.0.0.1:${port}`,
    logFile,
    ready: untilReady(service, child, { health, logFile }),
    endedOnPurpose: false,
  };
}

/** What a service said last, where it said why it ends. */
async function reasonIn(logFile: string): Promise<string> {
  const last = (await readFile(logFile, "utf8").catch(() => "")).trimEnd().split("\n").at(-1) ?? "";
  try {
    const { level, msg, error } = JSON.parse(last) as { level?: string; msg?: string; error?: { message?: string } };
    return level === "fatal" ? `: ${error?.message ?? msg}` : "";
  } catch {
    return "";
  }
}

async function untilReady(
  service: string,
  child: ServiceProcess,
  { health, logFile }: { health: string; logFile: string },
): Promise<void> {
  const giveUpAt = Date.now() + readyTimeoutMs;
  while (Date.now() < giveUpAt) {
    if (!child.running) {
      await child.exit;
      throw new LaunchError(`${service} could not start (its log: ${logFile})${await reasonIn(logFile)}`);
    }
    const answer = await fetch(`${health}/ready`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.status === 200) return;
    await sleep(pollMs);
  }
  throw new LaunchError(`${service} was not ready after ${readyTimeoutMs / 1000} s; its log is ${logFile}`);
}
