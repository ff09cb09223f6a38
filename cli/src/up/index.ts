import { join, resolve } from "node:path";
import { InvalidArgumentError, type Command } from "commander";
import { checkConfiguration, isFreePort, lockDataDir, startHouse, type House } from "@sluice/launcher";
import { prepareDemo, type Demo } from "../demo/index.ts";
import { describeDemo, describeHouse } from "./describe.ts";
import { tellOfStop, watchInterrupts } from "./stop.ts";
import { tellOfProblems } from "./warnings.ts";

interface UpOptions {
  readonly conf?: string;
  readonly port: number;
  readonly data: string;
  readonly demo: boolean;
  readonly replicas: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly auditors?: readonly string[];
  readonly separatePools?: true;
}

const environmentHelp = `
Variables of the services (docs/configuration.md), such as PUBLIC_URL or OPERATORS_FILE, are handed on to them.
NATS_URL, REDIS_URL and DATABASE_URL name servers to use instead of starting them.
UPSTREAM_NETWORKS names the networks that upstreams may be in beside public addresses, such as
10.0.0.0/8,127.0.0.0/8,::1/128; unless it is set, those on this machine alone (127.0.0.0/8,::1/128).`;

/** `sluice up`: everything on this machine, with a demo unless a configuration is given. */
export function addUpCommand(program: Command): void {
  program
    .command("up")
    .description("start NATS, Redis, Postgres and every service on this machine; without --conf also a demo")
    .option("--conf <dir>", "directory with tenants.yaml (default: a demo configuration)")
    .option("--port <number>", "port of the ingress URL", port, 8080)
    .option("--data <dir>", "where data, logs and secrets of this instance are kept", ".sluice")
    .option("--no-demo", "never start the demo upstream")
    .option("--replicas <number>", "replicas of each service but control", count, 1)
    .option("--tls-cert <file>", "certificate of the ingress URL in PEM, with its chain")
    .option("--tls-key <file>", "and its key")
    .option("--auditors <tenants...>", "tenants whose audit trail is read over NATS by users of their own")
    .option("--separate-pools", "egress replicas of their own for MCP and for A2A")
    .addHelpText("after", environmentHelp)
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  const interruption = watchInterrupts();
  const dataDir = resolve(options.data);
  if (options.conf === undefined && !options.demo) throw new Error("name a configuration with --conf");
  await using scope = new AsyncDisposableStack();
  scope.use(await lockDataDir(dataDir));
  if (!(await isFreePort(options.port)))
    throw new Error(`port ${options.port} is in use: name another one with --port`);
  const plan = options.conf === undefined ? await prepareDemo({ dataDir, onProgress: say }) : undefined;
  const confDir = plan?.confDir ?? resolve(options.conf ?? "");
  for (const warning of await checkConfiguration(join(confDir, "tenants.yaml"))) say(warning);
  const demo = plan === undefined ? undefined : scope.use(await plan.start());
  const house = scope.use(
    await startHouse({
      confDir,
      dataDir,
      port: options.port,
      replicas: replicasOf(options.replicas),
      ...(options.separatePools === true && { egressPools: ["mcp", "a2a"] }),
      ...(options.auditors !== undefined && { auditors: options.auditors }),
      restart: true,
      envOf: { ingress: tlsOf(options) },
      onProgress: say,
    }),
  );
  await demo?.writeFile(house);
  process.stdout.write(
    demo === undefined
      ? describeHouse(house, options.data)
      : describeDemo(house, demo, { dataDir: options.data, certificate: options.tlsCert }),
  );
  const problems = await tellOfProblems(house, say);
  await untilOver(house, demo, interruption.stop);
  problems[Symbol.dispose]();
  say("stopping");
  const told = tellOfStop(house, interruption, say);
  await scope.disposeAsync();
  told[Symbol.dispose]();
}

function say(line: string): void {
  process.stderr.write(`sluice: ${line}\n`);
}

async function untilOver(house: House, demo: Demo | undefined, stop: Promise<undefined>): Promise<void> {
  const lost = await Promise.race([stop, house.lost, ...(demo === undefined ? [] : [demo.lost])]);
  if (lost === undefined) return;
  say(lost);
  process.exitCode = 1;
}

function replicasOf(number: number) {
  return {
    ingress: number,
    policy: number,
    "rate-limit": number,
    "session-manager": number,
    egress: number,
    audit: number,
    signer: number,
  };
}

/** What is wrong with the files says ingress, which ends. */
function tlsOf({ tlsCert, tlsKey }: UpOptions): Record<string, string> {
  return {
    ...(tlsCert !== undefined && { TLS_CERT_FILE: resolve(tlsCert) }),
    ...(tlsKey !== undefined && { TLS_KEY_FILE: resolve(tlsKey) }),
  };
}

function port(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw new InvalidArgumentError("a port is a number from 1 to 65535");
  return number;
}

function count(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 16)
    throw new InvalidArgumentError("replicas are a number from 1 to 16");
  return number;
}
