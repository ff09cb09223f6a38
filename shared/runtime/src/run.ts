import type { z } from "zod";
import { announce, Bus } from "@sluice/bus";
import type { ServiceName } from "@sluice/contracts";
import { Secrets } from "@sluice/secrets";
import { createLog, createMetrics, describeError, type Log, type Registry } from "@sluice/telemetry";
import { baseConfigSchema, ConfigError, loadConfig, type BaseConfig } from "./config.ts";
import { serveHealth } from "./health.ts";
import { settingsOf } from "./settings.ts";

/** What a service gets to work with. */
export interface Context<Config> {
  readonly config: Config;
  readonly bus: Bus;
  readonly log: Log;
  readonly metrics: Registry;
  /** What references in the configuration stand for; the only way to a secret. */
  readonly secrets: Secrets;
  /** Closed last-opened-first when the service stops. */
  readonly scope: AsyncDisposableStack;
  /** Fires when the service is asked to stop. */
  readonly stopping: AbortSignal;
  /** Whether the work under way need not be ended, because whoever asked for it is gone: SIGUSR2 said so. */
  nobodyWaits(): boolean;
  /** Adds to what `/health` shows. */
  report(details: () => Record<string, unknown>): void;
  /** Adds to what operators are told to mend, in the admin API; no secrets. */
  complain(problems: () => string[]): void;
  /** Adds a condition to readiness. */
  requireReady(check: () => boolean): void;
}

export interface Service<Schema extends z.ZodType> {
  readonly name: ServiceName;
  readonly config: Schema;
  /** Opens everything; what it opens goes to `context.scope`. When it resolves, the service is ready. */
  start(context: Context<z.infer<Schema> & BaseConfig>): Promise<void>;
}

const badConfigExit = 2;

/** Runs one service until SIGTERM or SIGINT, then closes what it opened, in reverse, before the deadline. */
export async function run<Schema extends z.ZodType>(service: Service<Schema>): Promise<void> {
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) =>
    stopping.signal.addEventListener("abort", () => resolve(), { once: true }),
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopping.abort());
  let abandoned = false;
  process.on("SIGUSR2", () => (abandoned = true));
  let log = createLog(service.name, "info");
  const scope = new AsyncDisposableStack();
  try {
    const env = await settingsOf([baseConfigSchema, service.config], log);
    const config = {
      ...loadConfig(baseConfigSchema, env),
      ...(loadConfig(service.config, env) as object),
    } as z.infer<Schema> & BaseConfig;
    log = createLog(service.name, config.LOG_LEVEL);
    const opened = open({
      service,
      config,
      log,
      scope,
      stopping: stopping.signal,
      nobodyWaits: () => abandoned,
    });
    // The client tries for its first connection without end, and nothing of ours can end that.
    const early = await Promise.race([opened.then(() => false), stopped.then(() => true)]);
    if (early) process.exit(0);
    await stopped;
    log.info("stopping");
    enforceDeadline(config.SHUTDOWN_DEADLINE_MS, log);
    await scope.disposeAsync();
    log.info("stopped");
  } catch (error) {
    if (error instanceof ConfigError) log.fatal(error.message);
    else log.fatal({ error: describeError(error) }, "could not start or stop");
    process.exitCode = error instanceof ConfigError ? badConfigExit : 1;
    enforceDeadline(2_000, log);
    await scope.disposeAsync().catch(() => {});
  }
}

interface Opening<Schema extends z.ZodType> {
  readonly service: Service<Schema>;
  readonly config: z.infer<Schema> & BaseConfig;
  readonly log: Log;
  readonly scope: AsyncDisposableStack;
  readonly stopping: AbortSignal;
  readonly nobodyWaits: () => boolean;
}

async function open<Schema extends z.ZodType>({
  service,
  config,
  log,
  scope,
  stopping,
  nobodyWaits,
}: Opening<Schema>): Promise<void> {
  const metrics = createMetrics(service.name);
  const startedAt = Date.now();
  const reports: (() => Record<string, unknown>)[] = [];
  const checks: (() => boolean)[] = [];
  const state: { bus?: Bus; started: boolean } = { started: false };
  const health = await serveHealth(
    { host: config.HEALTH_HOST, port: config.HEALTH_PORT },
    {
      ready: () =>
        state.started && !stopping.aborted && state.bus?.connected === true && checks.every((check) => check()),
      details: () => ({
        service: service.name,
        instance: state.bus?.instance ?? null,
        uptime_seconds: Math.round((Date.now() - startedAt) / 1000),
        nats: state.bus?.connected === true ? "connected" : "disconnected",
        ...Object.fromEntries(reports.flatMap((report) => Object.entries(report()))),
      }),
    },
    metrics,
  );
  scope.use(health);
  const bus = scope.use(await connect(service.name, config, log));
  state.bus = bus;
  const secrets = scope.use(new Secrets({ env: process.env, log, metrics }));
  const problems = [() => secretProblems(secrets)];
  scope.use(announce(bus, () => problems.flatMap((tell) => tell())));
  await service.start({
    config,
    bus,
    log,
    metrics,
    secrets,
    scope,
    stopping,
    nobodyWaits,
    report: (details) => void reports.push(details),
    complain: (tell) => void problems.push(tell),
    requireReady: (check) => void checks.push(check),
  });
  await bus.flush();
  state.started = true;
  log.info({ health: `http://${config.HEALTH_HOST}:${health.port}`, instance: bus.instance }, "ready");
}

function secretProblems(secrets: Secrets): string[] {
  return [...secrets.states()].flatMap(({ reference, usable, problem }) =>
    problem === undefined ? [] : [`${reference}: ${problem.reason}${usable ? "; its last value stays in use" : ""}`],
  );
}

function connect(service: ServiceName, config: BaseConfig, log: Log): Promise<Bus> {
  return Bus.connect({
    url: config.NATS_URL,
    service,
    ...(config.NATS_USER !== undefined && { user: config.NATS_USER }),
    ...(config.NATS_PASSWORD !== undefined && { pass: config.NATS_PASSWORD }),
    ...(config.NATS_CA_FILE !== undefined && { caFile: config.NATS_CA_FILE }),
    onError: (message, kind) => (kind === "refused" ? log.error(message) : log.warn(message)),
  });
}

function enforceDeadline(deadlineMs: number, log: Log): void {
  setTimeout(() => {
    log.error({ deadlineMs }, "did not stop in time");
    process.exit(process.exitCode ?? 1);
  }, deadlineMs).unref();
}
