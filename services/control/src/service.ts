import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AuditLog, ConfHistory, ensureTopology, publishedEdition, publishEdition } from "@sluice/bus";
import { createAddressGuard } from "@sluice/net";
import { ConfigError, watchFile, type BaseConfig, type Context } from "@sluice/runtime";
import { describeError } from "@sluice/telemetry";
import type { ControlConfig } from "./config.ts";
import { ActionLog } from "./admin/action-log.ts";
import { createConfMetrics } from "./conf-metrics.ts";
import { Configuration } from "./configuration.ts";
import { EditionRecorder } from "./edition-recorder.ts";
import { Editions } from "./editions.ts";
import { cutSections } from "./cut-sections.ts";
import { ConfProblems } from "./conf-problems.ts";
import { openToolPins, serveObservations } from "./tool-pins/open.ts";
import { ToolRegistry } from "./tool-pins/registry.ts";
import { serveAdmin } from "./serve-admin.ts";

const retryMs = 500;

type ControlContext = Context<ControlConfig & BaseConfig>;

/** Makes the streams, keeps `tenants.yaml` published and answers operators. */
export async function startControl(context: ControlContext): Promise<void> {
  const { config, bus, scope } = context;
  const audit = scope.use(new AuditLog(bus));
  const history = new ConfHistory(bus, {
    replicas: config.NATS_REPLICAS,
    mostEditions: config.CONF_HISTORY_MAX_EDITIONS,
    mostBytes: config.CONF_HISTORY_MAX_BYTES,
  });
  const actions = scope.use(new ActionLog(audit, bus.instance));
  const configuration = createConfiguration(context, { history, actions });
  const toolPins = openToolPins(context, audit);
  const onNotTaken = () => void restore(context, configuration);
  const credentials = await serveAdmin(context, {
    actions,
    configuration,
    toolPins,
    editions: new Editions({ history, configuration, onNotTaken }),
  });
  context.report(() => ({ configuration: configuration.status }));
  await untilDone(context, () => prepareBus(context));
  await untilDone(context, () => configuration.open());
  serveObservations(context, new ToolRegistry(toolPins));
  await untilDone(context, () => credentials.open());
  scope.use(watchFile(join(config.CONF_DIR, "tenants.yaml"), () => void applyEdit(context, configuration)));
  scope.defer(bus.onReconnect(() => void restore(context, configuration)));
}

function createConfiguration(
  { config, bus, log, metrics, scope }: ControlContext,
  { history, actions }: { readonly history: ConfHistory; readonly actions: ActionLog },
): Configuration {
  const recorder = scope.use(new EditionRecorder({ history, log, metrics }));
  const { refused, version: current, publishFailures } = createConfMetrics(metrics, () => configuration.status.stale);
  const configuration: Configuration = new Configuration({
    file: join(config.CONF_DIR, "tenants.yaml"),
    guard: createAddressGuard(config.UPSTREAM_NETWORKS),
    publish: (conf, { digest, after }) =>
      publishEdition(bus, { digest, after, cut: (version) => cutSections(conf, version) }),
    record: (edition) => recorder.record(edition),
    published: () => publishedEdition(bus),
    onPublishFailed: () => publishFailures.inc(),
    onRefused: (error) => {
      refused.inc();
      actions.noted({ action: "conf.publish", subject: placeOf(error) }, "conf_invalid");
      log.error(
        { problems: error.message.split("\n") },
        "the edited configuration is refused; the last good one stays in force",
      );
    },
    onPublished: (version, { by, warnings }) => {
      current.set(version);
      actions.noted({
        action: "conf.publish",
        subject: `version ${version}`,
        ...(by.kind === "rollback" && { operator: by.operator }),
      });
      log.info({ version }, "configuration published");
      for (const warning of warnings) log.warn({ warning }, "the configuration is valid and may not be what was meant");
    },
  });
  return configuration;
}

/** Where the first problem is; what it is may quote the file, and stays in the log. */
function placeOf({ problems: [first] }: ConfProblems): string {
  return first === undefined ? "tenants.yaml" : `tenants.yaml, line ${first.line}`;
}

function prepareBus({ config, bus }: ControlContext): Promise<void> {
  return ensureTopology(bus, {
    replicas: config.NATS_REPLICAS,
    auditMaxBytes: config.AUDIT_MAX_BYTES,
    trailMaxBytes: config.TRAIL_MAX_BYTES,
    trailMaxAgeMs: config.TRAIL_MAX_AGE_MS,
    auditors: config.AUDITORS,
    repliesMaxBytes: config.REPLIES_MAX_BYTES,
    repliesMaxAgeMs: config.REPLIES_MAX_AGE_MS,
    pushMaxBytes: config.PUSH_MAX_BYTES,
    pushMaxWaiting: config.PUSH_MAX_WAITING,
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
