import type { SectionMap } from "@sluice/bus";
import { createAddressGuard } from "@sluice/net";
import { GuardedServers } from "@sluice/oauth";
import { ConfigError, type Context } from "@sluice/runtime";
import { referencesIn } from "@sluice/secrets";
import { Authentication } from "./auth/authentication.ts";
import { authMethods } from "./auth/index.ts";
import type { ClientAuthorities } from "./client-authorities.ts";
import type { IngressConfig } from "./config.ts";
import { ProtectedResource } from "./protected-resource.ts";
import { Tenants } from "./tenants.ts";

/** Everything that knows who may come, and how they say who they are. */
export interface IdentityParts {
  readonly tenants: Tenants;
  readonly authentication: Authentication;
  readonly resource: ProtectedResource;
  /** Takes over the tenants, once the secrets that their methods name were read. */
  configure(sections: SectionMap<"ingress">): Promise<void>;
  /** From now on what cannot be used is closed and logged. @throws ConfigError where there is such already */
  requireUsable(): void;
}

export function openIdentity(
  { config, bus, log, scope, secrets }: Pick<Context<IngressConfig>, "config" | "bus" | "log" | "scope" | "secrets">,
  authorities: ClientAuthorities,
): IdentityParts {
  const publicUrl = config.PUBLIC_URL?.replace(/\/+$/, "");
  const problems: string[] = [];
  let started = false;
  const servers = scope.use(new GuardedServers({ guard: createAddressGuard(config.UPSTREAM_NETWORKS) }));
  const context = {
    ...{ config, bus, log, scope, publicUrl, authorities },
    reach: (url: URL) => servers.reach(url),
    secret: (reference: string) => secrets.value(reference),
    whenSecretChanges: (heed: (reference: string) => void) => void scope.use(secrets.onChange(heed)),
    complain: (problem: string) => {
      if (started) log.error({ problem }, "an authentication method is closed");
      else problems.push(problem);
    },
    changed: () => tenants.reconsider(),
  };
  const authentication = new Authentication(authMethods.map((make) => make(context)));
  const tenants: Tenants = new Tenants(authentication);
  const resource = new ProtectedResource(publicUrl);
  return {
    tenants,
    authentication,
    resource,
    configure: async (sections) => {
      const methods = [...sections.values()].map(({ keyEndpoints, oauth2, certificates }) => [
        ...[keyEndpoints, oauth2, certificates],
      ]);
      await secrets.use("authentication", referencesIn(methods));
      tenants.configure(sections);
      resource.configure(sections);
    },
    requireUsable: () => {
      started = true;
      if (problems.length > 0) throw new ConfigError(problems.join("\n"));
    },
  };
}
