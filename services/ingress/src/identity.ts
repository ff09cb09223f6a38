import type { SectionMap } from "@sluice/bus";
import { createAddressGuard } from "@sluice/net";
import { GuardedServers } from "@sluice/oauth";
import { ConfigError, resolveSecret, type Context } from "@sluice/runtime";
import { Authentication } from "./auth/authentication.ts";
import { authMethods } from "./auth/index.ts";
import type { IngressConfig } from "./config.ts";
import { ProtectedResource } from "./protected-resource.ts";
import { Tenants } from "./tenants.ts";

/** Everything that knows who may come, and how they say who they are. */
export interface IdentityParts {
  readonly tenants: Tenants;
  readonly authentication: Authentication;
  readonly resource: ProtectedResource;
  configure(sections: SectionMap<"ingress">): void;
  /** From now on what cannot be used is closed and logged. @throws ConfigError where there is such already */
  requireUsable(): void;
}

export function openIdentity({
  config,
  bus,
  log,
  scope,
}: Pick<Context<IngressConfig>, "config" | "bus" | "log" | "scope">): IdentityParts {
  const publicUrl = config.PUBLIC_URL?.replace(/\/+$/, "");
  const problems: string[] = [];
  let started = false;
  const servers = scope.use(new GuardedServers({ guard: createAddressGuard(config.UPSTREAM_NETWORKS) }));
  const context = {
    ...{ config, bus, log, scope, publicUrl },
    reach: (url: URL) => servers.reach(url),
    secret: (reference: string) => resolveSecret(reference),
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
    configure: (sections) => {
      tenants.configure(sections);
      resource.configure(sections);
    },
    requireUsable: () => {
      started = true;
      if (problems.length > 0) throw new ConfigError(problems.join("\n"));
    },
  };
}
