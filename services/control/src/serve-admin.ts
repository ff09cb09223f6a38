import { Presence } from "@sluice/bus";
import { serviceNames } from "@sluice/contracts";
import type { BaseConfig, Context } from "@sluice/runtime";
import type { ActionLog } from "./admin/action-log.ts";
import { followOperators } from "./admin/operators-file.ts";
import { Operators } from "./admin/operators.ts";
import type { AdminParts } from "./admin/parts.ts";
import { createAdmin } from "./admin/server.ts";
import { AuditQuestions } from "./audit-questions.ts";
import { openAdminTls } from "./admin-tls.ts";
import type { ControlConfig } from "./config.ts";
import { Credentials } from "./credentials.ts";

interface AdminServing extends Pick<AdminParts, "configuration" | "toolPins" | "editions"> {
  readonly actions: ActionLog;
}

/** Opens the admin API. It answers before the bus is ready; what needs it gets 503 then. Credentials are to be opened once it is. */
export async function serveAdmin(
  context: Context<ControlConfig & BaseConfig>,
  { actions, configuration, toolPins, editions }: AdminServing,
): Promise<Credentials> {
  const { config, bus, log, scope } = context;
  const operators = new Operators(config.ADMIN_TOKEN);
  const credentials = scope.use(
    new Credentials({
      bus,
      log,
      isOperator: (name) => operators.knows(name),
      onOrphanRevoked: ({ tenant, kind, id }) =>
        actions.noted({ action: `${kind}s.revoke`, tenant, subject: `${kind} ${id}` }),
    }),
  );
  const file = config.OPERATORS_FILE;
  if (file !== undefined)
    scope.use(
      await followOperators({
        file,
        operators,
        log,
        onChanged: () => {
          actions.noted({ action: "operators.change" });
          void credentials.sweep();
        },
        onRefused: () => actions.noted({ action: "operators.change" }, "operators_invalid"),
      }),
    );
  const presences = serviceNames.map((name) => ({ name, presence: scope.use(new Presence(bus, name, () => {})) }));
  const problems = () =>
    presences.flatMap(({ name, presence }) => presence.problems.map((problem) => ({ service: name, problem })));
  context.report(() => ({ problems: problems() }));
  const admin = await createAdmin({
    operators,
    actions,
    allowedHosts: config.ADMIN_ALLOWED_HOSTS,
    tls: openAdminTls(context),
    parts: {
      configuration,
      toolPins,
      editions,
      credentials,
      trail: new AuditQuestions(bus),
      replicas: () => Object.fromEntries(presences.map(({ name, presence }) => [name, presence.count])),
      problems,
    },
  });
  scope.defer(() => admin.close());
  const address = await admin.listen({ host: config.ADMIN_HOST, port: config.ADMIN_PORT });
  log.info({ admin: address }, "admin API");
  return credentials;
}
