import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensureTopology, publishedEdition, publishEdition } from "@sluice/bus";
import { createAddressGuard } from "@sluice/net";
import { ConfigError, type BaseConfig, type Context } from "@sluice/runtime";
import { Counter, describeError, Gauge } from "@sluice/telemetry";
import type { ControlConfig } from "./config.ts";
import { Configuration } from "./configuration.ts";
import { cutSections } from "./cut-sections.ts";
import { ConfProblems } from "./conf-problems.ts";
import { serveAdmin } from "./serve-admin.ts";
import { watchFile } from "./watch-file.ts";

const retryMs = 500;

type ControlContext = Context<ControlConfig & BaseConfig>;

/** Makes the streams, keeps `tenants.yaml` published and answers operators. */
export async function startControl(context: ControlContext): Promise<void> {
  const { config, bus, scope } = context;
  const configuration = createConfiguration(context);
  await serveAdmin(context, configuration);
  context.report(() => ({ configuration: configuration.status }));
  await untilDone(context, () => prepareBus(context));
  await untilDone(context, () => configuration.open());
  scope.use(watchFile(join(config.CONF_DIR, "tenants.yaml"), () => void applyEdit(context, configuration)));
  scope.defer(bus.onReconnect(() => void restore(context, configuration)));
}

function createConfiguration({ config, bus, log, metrics }: ControlContext): Configuration {
  const errors = new Counter({
    name: "sluice_conf_errors_total",
    help: "Edits of the configuration that were refused",
    registers: [metrics],
  });
  const current = new Gauge({
    name: "sluice_conf_version",
    help: "Version of the configuration in force",
    registers: [metrics],
  });
  const failures = new Counter({
    name: "sluice_conf_publish_failures_total",
    help: "Times that the bus did not take the configuration; each is tried again",
    registers: [metrics],
  });
  return new Configuration({
    file: join(config.CONF_DIR, "tenants.yaml"),
    guard: createAddressGuard(config.UPSTREAM_NETWORKS),
    publish: (conf, { digest, after }) =>
      publishEdition(bus, { digest, after, cut: (version) => cutSections(conf, version) }),
    published: () => publishedEdition(bus),
    onPublishFailed: () => failures.inc(),
    onRefused: (error) => {
      errors.inc();
      log.error(
        { problems: error.message.split("\n") },
        "the edited configuration is refused; the last good one stays in force",
      );
    },
    onPublished: (version, warnings) => {
      current.set(version);
      log.info({ version }, "configuration published");
      for (const warning of warnings) log.warn({ warning }, "the configuration is valid and may not be what was meant");
    },
  });
}

function prepareBus({ config, bus }: ControlContext): Promise<void> {
  return ensureTopology(bus, {
    replicas: config.NATS_REPLICAS,
    auditMaxBytes: config.AUDIT_MAX_BYTES,
    repliesMaxBytes: config.REPLIES_MAX_BYTES,
    repliesMaxAgeMs: config.REPLIES_MAX_AGE_MS,
  });
}

async function applyEdit(context: ControlContext, configuration: Configuration): Promise<void> {
  await configuration.refresh().catch(() => restore(context, configuration));
}

async function restore(context: ControlContext, configuration: Configuration): Promise<void> {
  await untilDone(context, async () => {
    await prepareBus(context);
    await configuration.republish();
  });
}

/** JetStream may need a moment after NATS itself is there. A broken file is no matter of time. */
async function untilDone({ log, stopping }: ControlContext, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ConfProblems) throw new ConfigError(`the configuration is not usable:\n${error.message}`);
      if (stopping.aborted) return;
      log.warn({ error: describeError(error) }, "JetStream does not take the configuration yet; trying again");
      await delay(retryMs);
    }
  }
}
