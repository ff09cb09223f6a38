import { watchSection } from "@sluice/bus";
import { ConfigError, type Context } from "@sluice/runtime";
import { referencesIn } from "@sluice/secrets";
import { Gauge } from "@sluice/telemetry";
import type { Egress } from "./service.ts";
import type { ClosedEndpoint } from "./closed-endpoints.ts";
import type { Upstreams } from "./upstreams.ts";

interface Configured {
  readonly egress: Egress;
  readonly upstreams: Upstreams;
}

/**
 * Takes over each version of the configuration once the secrets that it names were read, and each secret as it changes.
 * @throws ConfigError at the start, where a secret is missing or weak; later that closes its endpoint alone
 */
export async function followConf(context: Context<unknown>, { egress, upstreams }: Configured): Promise<void> {
  const { bus, log, scope, secrets, complain } = context;
  const tell = (closed: readonly ClosedEndpoint[], what: string) => {
    for (const { problem } of closed) log.error({ problem }, what);
  };
  complain(() => upstreams.problems);
  measureClosed(context, upstreams);
  let started = false;
  const sections = await watchSection(bus, "egress", async (tenants) => {
    const isCurrent = await secrets.use("tenants", referencesIn([...tenants.values()]));
    if (!isCurrent) return;
    const closed = egress.configure(tenants);
    if (started) tell(closed, "endpoint closed");
  });
  scope.use(sections);
  started = true;
  const unfit = upstreams.closed.filter(({ isTemporary }) => !isTemporary);
  if (unfit.length > 0) throw new ConfigError(unfit.map(({ problem }) => problem).join("\n"));
  tell(upstreams.closed, "endpoint closed");
  scope.use(
    secrets.onChange((reference) => {
      const before = upstreams.closed.length;
      const refused = upstreams.renew(reference);
      tell(refused, "the changed secret can't be used: what was in use stays");
      if (upstreams.closed.length < before) log.info({ reference }, "endpoints opened: their secret came");
    }),
  );
}

function measureClosed({ metrics }: Pick<Context<unknown>, "metrics">, upstreams: Upstreams): void {
  new Gauge({
    name: "sluice_upstream_closed",
    help: "1 while this upstream can't be used, because of its secrets for the most part",
    labelNames: ["tenant", "server"],
    registers: [metrics],
    collect: function () {
      this.reset();
      for (const { tenant, server } of upstreams.closed) this.set({ tenant, server }, 1);
    },
  });
}
