import { watchCredentials, watchSection } from "@sluice/bus";
import type { BaseConfig, Context } from "@sluice/runtime";
import { Authentication } from "./auth/authentication.ts";
import { authMethods } from "./auth/index.ts";
import { Issued } from "./auth/issued.ts";
import type { IngressConfig } from "./config.ts";
import type { Leases } from "./leases.ts";
import { Tenants } from "./tenants.ts";

/** Reads the tenants and the credentials, and follows both. Resolves when all of them are known, so that nobody good is refused. */
export async function followTenants(
  { config, bus, log, scope }: Pick<Context<IngressConfig & BaseConfig>, "config" | "bus" | "log" | "scope">,
  leases: Leases,
): Promise<{ readonly authentication: Authentication; readonly tenants: Tenants }> {
  const changed = () => tenants.reconsider();
  const issued = scope.use(new Issued({ log, changed }));
  const authentication = new Authentication(
    authMethods.map((make) => make({ config, bus, log, scope, changed, issued })),
  );
  const tenants: Tenants = new Tenants(authentication);
  scope.use(
    await watchSection(bus, "ingress", (sections) => {
      issued.configure(sections);
      tenants.configure(sections);
      leases.configure(tenants.version);
    }),
  );
  scope.use(await watchCredentials(bus, issued));
  return { authentication, tenants };
}
