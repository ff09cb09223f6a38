import { Presence } from "@sluice/bus";
import { serviceNames } from "@sluice/contracts";
import type { BaseConfig, Context } from "@sluice/runtime";
import { ActionLog } from "./admin/action-log.ts";
import { followOperators } from "./admin/operators-file.ts";
import { Operators } from "./admin/operators.ts";
import { createAdmin } from "./admin/server.ts";
import type { ControlConfig } from "./config.ts";
import type { Configuration } from "./configuration.ts";

/** Opens the admin API. It answers before the bus is ready; what changes something then gets 503. */
export async function serveAdmin(
  { config, bus, log, scope }: Context<ControlConfig & BaseConfig>,
  configuration: Configuration,
): Promise<void> {
  const operators = new Operators(config.ADMIN_TOKEN);
  if (config.OPERATORS_FILE !== undefined) scope.use(await followOperators(config.OPERATORS_FILE, operators, log));
  const presences = serviceNames.map((name) => ({ name, presence: scope.use(new Presence(bus, name, () => {})) }));
  const actions = scope.use(new ActionLog(bus));
  const admin = await createAdmin({
    operators,
    actions,
    allowedHosts: config.ADMIN_ALLOWED_HOSTS,
    parts: {
      configuration,
      replicas: () => Object.fromEntries(presences.map(({ name, presence }) => [name, presence.count])),
    },
  });
  scope.defer(() => admin.close());
  const address = await admin.listen({ host: config.ADMIN_HOST, port: config.ADMIN_PORT });
  log.info({ admin: address }, "admin API");
}
