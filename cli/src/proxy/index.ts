import { realpathSync } from "node:fs";
import { InvalidArgumentError, type Command } from "commander";
import { clientTls, ConfigError, loadConfig, settingsOf } from "@sluice/runtime";
import { createLog, createMetrics, logOutput, type Log, type Registry } from "@sluice/telemetry";
import { clientConfig, clientNames, type ClientName } from "./client-config.ts";
import { ClientFields } from "./fields.ts";
import { listen } from "./server.ts";
import { environmentWith, settingsHelp, settingsSchema, type Settings } from "./settings.ts";
import { serveStdio } from "./stdio.ts";
import { Upstream } from "./upstream.ts";

interface Flags {
  readonly stdio?: true;
  readonly pretty?: true;
  readonly env?: string;
  readonly printConfig?: ClientName;
}

const badConfigExit = 2;
const help = `
Settings, from the environment or a file .env in the working directory (what is in the environment counts more). A value may
be a reference: \${file:PATH}, \${env:NAME}, \${vault:PATH#KEY}; NAME_FILE=PATH says the same as NAME=\${file:PATH}.

${settingsHelp()}

Example: MCP_UPSTREAM_URL=https://mcp.example.com/mcp MCP_API_KEY=me MCP_API_SECRET='\${file:secret}' sluice proxy
Exit code 2: settings are missing or wrong; each is named, and nothing listens.`;

/** `sluice proxy`: one developer's signing proxy (seed 003), with nothing beside it. */
export function addProxyCommand(program: Command): void {
  program
    .command("proxy")
    .description(
      "sign requests of a local MCP client and forward them to one upstream; settings come from the environment",
    )
    .option("--stdio", "serve one client on standard input and output instead of listening")
    .option("--pretty", "logs for people instead of JSON")
    .option("--env <file>", "read settings from this file instead of .env")
    .option("--print-config <client>", `print what to paste into a client: ${clientNames.join(", ")}`, clientName)
    .addHelpText("after", help)
    .action(proxy);
}

async function proxy(flags: Flags): Promise<void> {
  const output = flags.stdio ? 2 : 1;
  try {
    const to = flags.pretty
      ? (await import("pino-pretty")).default({ destination: output, sync: true })
      : logOutput(output);
    const env = environmentWith(flags.env, process.env);
    if (flags.printConfig !== undefined) {
      process.stdout.write(
        clientConfig(flags.printConfig, { env, stdio: flags.stdio === true, command: thisCommand() }),
      );
      return;
    }
    const early = createLog("proxy", "info", to);
    const settings = await settingsFrom(env, early);
    const log = createLog("proxy", settings.LOG_LEVEL, to);
    await serve(settings, { log, metrics: createMetrics("proxy") }, flags.stdio === true);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`sluice proxy: ${error.message}\n`);
    process.exitCode = badConfigExit;
  }
}

/** @throws ConfigError that names every problem, those of references included */
async function settingsFrom(env: NodeJS.ProcessEnv, log: Log): Promise<Settings> {
  const problems = new Map<string, string>();
  const note = (error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    const [first = "", ...lines] = error.message.split("\n");
    for (const line of lines.length > 0 ? lines : [`  ${first}`]) {
      const [name = ""] = line.split(": ", 1);
      if (!problems.has(name)) problems.set(name, line);
    }
  };
  const resolved = await settingsOf([settingsSchema], log, env).catch((error: unknown) => {
    note(error);
    return env;
  });
  try {
    const settings = loadConfig(settingsSchema, resolved);
    if (problems.size === 0) return settings;
  } catch (error) {
    note(error);
  }
  throw new ConfigError(`the environment is not usable:\n${[...problems.values()].join("\n")}`);
}

/** What starts this program from any directory, without a PATH. */
function thisCommand(): readonly [string, ...string[]] {
  return [process.execPath, realpathSync(process.argv[1] ?? "")];
}

async function serve(settings: Settings, told: { log: Log; metrics: Registry }, stdio: boolean): Promise<void> {
  const { log } = told;
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  await using scope = new AsyncDisposableStack();
  const { UPSTREAM_CA_FILE: ca, UPSTREAM_CERT_FILE: cert, UPSTREAM_KEY_FILE: key } = settings;
  const upstream = scope.use(new Upstream(settings, clientTls("UPSTREAM", { ca, cert, key }, told)));
  if (stdio) return await serveStdio({ settings, upstream, log, stop: stop.signal });
  const fields = new ClientFields(settings.FORWARD_HEADERS);
  const beats = { everyMs: settings.SSE_HEARTBEAT_MS, stop: stop.signal };
  const listener = scope.use(await listen({ settings, upstream, fields, beats, ...told }));
  const url = `http://${settings.HOST.includes(":") ? `[${settings.HOST}]` : settings.HOST}:${listener.port}/mcp`;
  if (!/^(?:localhost|127\.|::1$)/.test(settings.HOST))
    log.warn({ host: settings.HOST }, "whoever reaches this address can make requests that are signed with your key");
  log.info({ url, upstream: upstream.origin, signing: settings.SIGNING_MODE }, "ready");
  await new Promise<void>((resolve) => {
    stop.signal.addEventListener("abort", () => resolve(), { once: true });
    if (stop.signal.aborted) resolve();
  });
  log.info("stopping");
}

function clientName(text: string): ClientName {
  const found = clientNames.find((name) => name === text);
  if (found === undefined) throw new InvalidArgumentError(`there are ${clientNames.join(", ")}`);
  return found;
}
