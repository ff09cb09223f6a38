import { watchSection } from "@sluice/bus";
import { ConfigError, type Context } from "@sluice/runtime";
import { referencesIn } from "@sluice/secrets";
import { Gauge } from "@sluice/telemetry";
import type { Egress } from "./service.ts";
import type { ClosedEndpoint } from "./closed-endpoints.ts";
import type { ConnectedEndpoints, Reachable } from "./connected-endpoints.ts";

interface Configured {
  readonly egress: Egress;
  /** Of each protocol. */
  readonly endpoints: readonly ConnectedEndpoints<Reachable>[];
}

/**
 * Takes over each version of the configuration once the secrets that it names were read, and each secret as it changes.
 * @throws ConfigError at the start, where a secret is missing or weak; later that closes its endpoint alone
 */
export async function followConf(context: Context<unknown>, { egress, endpoints }: Configured): Promise<void> {
  const { bus, log, scope, secrets, complain } = context;
  const tell = (closed: readonly ClosedEndpoint[], what: string) => {
    for (const { problem } of closed) log.error({ problem }, what);
  };
  const closedNow = () => endpoints.flatMap(({ closed }) => closed);
  complain(() => endpoints.flatMap(({ problems }) => problems));
  measureClosed(context, closedNow);
  let started = false;
  const sections = await watchSection(bus, "egress", async (tenants) => {
    const isCurrent = await secrets.use("tenants", referencesIn([...tenants.values()]));
    if (!isCurrent) return;
    const closed = egress.configure(tenants);
    if (started) tell(closed, "endpoint closed");
  });
  scope.use(sections);
  started = true;
  const unfit = closedNow().filter(({ isTemporary }) => !isTemporary);
  if (unfit.length > 0) throw new ConfigError(unfit.map(({ problem }) => problem).join("\n"));
  tell(closedNow(), "endpoint closed");
  scope.use(
    secrets.onChange((reference) => {
      const before = closedNow().length;
      const refused = endpoints.flatMap((all) => all.renew(reference));
      tell(refused, "the changed secret can't be used: what was in use stays");
      if (closedNow().length < before) log.info({ reference }, "endpoints opened: their secret came");
    }),
  );
}

function measureClosed({ metrics }: Pick<Context<unknown>, "metrics">, closed: () => readonly ClosedEndpoint[]): void {
  new Gauge({
    name: "sluice_upstream_closed",
    help: "1 while this upstream can't be used, because of its secrets for the most part",
    labelNames: ["tenant", "server", "protocol"],
    registers: [metrics],
    collect: function () {
      this.reset();
      for (const { tenant, server, protocol } of closed()) this.set({ tenant, server, protocol }, 1);
    },
  });
}
