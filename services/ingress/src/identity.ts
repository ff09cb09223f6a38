import { watchCredentials, type SectionMap } from "@sluice/bus";
import { createAddressGuard } from "@sluice/net";
import { GuardedServers } from "@sluice/oauth";
import { ConfigError, type Context } from "@sluice/runtime";
import { referencesIn } from "@sluice/secrets";
import { Authentication } from "./auth/authentication.ts";
import { authMethods } from "./auth/index.ts";
import { Issued } from "./auth/issued.ts";
import type { IngressConfig } from "./config.ts";
import { ProtectedResource } from "./protected-resource.ts";
import { Tenants } from "./tenants.ts";

/** Everything that knows who may come, and how they say who they are. */
export interface IdentityParts {
  readonly tenants: Tenants;
  readonly authentication: Authentication;
  readonly resource: ProtectedResource;
  /** Takes over a version of the configuration once the secrets that it names were read; false where a newer one came meanwhile. */
  configure(sections: SectionMap<"ingress">): Promise<boolean>;
  /** Reads and follows the keys and tokens that control made. Resolves when all are known, so that no good one is refused. */
  followIssued(): Promise<void>;
  /** From now on what cannot be used is closed and logged. @throws ConfigError where there is such already */
  requireUsable(): void;
}

export function openIdentity(context: Context<IngressConfig>): IdentityParts {
  const { config, bus, log, scope, secrets } = context;
  const publicUrl = config.PUBLIC_URL?.replace(/\/+$/, "");
  const servers = scope.use(new GuardedServers({ guard: createAddressGuard(config.UPSTREAM_NETWORKS) }));
  const changed = () => tenants.reconsider();
  const issued = scope.use(new Issued({ log, changed }));
  const method = {
    ...{ config, bus, log, scope, secrets, publicUrl, changed, issued },
    reach: (url: URL) => servers.reach(url),
  };
  const authentication = new Authentication(authMethods.map((make) => make(method)));
  const tenants: Tenants = new Tenants(authentication);
  const resource = new ProtectedResource(publicUrl);
  let told = new Set<string>();
  const tell = () => {
    const problems = authentication.problems.map(({ problem }) => problem);
    for (const problem of problems)
      if (!told.has(problem))
        log.error({ problem }, "an authentication method is closed, or its new secret is not used");
    told = new Set(problems);
  };
  context.complain(() => authentication.problems.map(({ problem }) => problem));
  return {
    tenants,
    authentication,
    resource,
    configure: async (sections) => {
      const asking = [...sections.values()].map(({ oauth2, keyEndpoints }) => ({ oauth2, keyEndpoints }));
      const isCurrent = await secrets.use("tenants", referencesIn(asking));
      if (!isCurrent) return false;
      issued.configure(sections);
      tenants.configure(sections);
      resource.configure(sections);
      tell();
      return true;
    },
    followIssued: async () => void scope.use(await watchCredentials(bus, issued)),
    requireUsable: () => {
      const unfit = authentication.problems.filter(({ isTemporary }) => !isTemporary);
      if (unfit.length > 0) throw new ConfigError(unfit.map(({ problem }) => problem).join("\n"));
      const heeding = secrets.onChange(() => {
        authentication.secretChanged();
        tell();
      });
      scope.defer(() => heeding[Symbol.dispose]());
    },
  };
}
