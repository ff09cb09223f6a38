import type { SectionMap } from "@sluice/bus";
import type { Fault } from "@sluice/contracts";
import { InvalidCredential } from "./auth/asked-credentials.ts";
import { neededBy } from "./auth/token-rule.ts";

const wellKnown = "/.well-known/oauth-protected-resource";
/** Where the metadata is: of the gateway, of all servers of a tenant under one address, and of one server. */
export const resourcePaths = [wellKnown, `${wellKnown}/mcp`, `${wellKnown}/mcp/:server`] as const;

const serverName = /^[a-z0-9-]{1,63}$/;
const none = 'Bearer realm="sluice"';

/**
 * What clients need to know to log in by themselves (RFC 9728): who issues tokens for this gateway, and what a token must
 * hold. It is the same for everybody, as nobody has said yet whose tenant he is of.
 */
export class ProtectedResource {
  readonly #publicUrl: string | undefined;
  #issuers: readonly string[] = [];
  #scopes: readonly string[] = [];
  #hasOAuth = false;

  constructor(publicUrl: string | undefined) {
    this.#publicUrl = publicUrl;
  }

  configure(sections: SectionMap<"ingress">): void {
    const methods = [...sections.values()].flatMap(({ oauth2 }) => oauth2);
    this.#hasOAuth = methods.length > 0;
    this.#issuers = unique(methods.flatMap(({ issuer }) => issuer ?? []));
    this.#scopes = unique(methods.flatMap((method) => neededBy(method).mcp));
  }

  /** Whether anybody logs in by OAuth; else there is nothing to read here, for nobody. */
  get isServed(): boolean {
    return this.#hasOAuth && this.#publicUrl !== undefined;
  }

  /** What is at one of `resourcePaths`; undefined where nobody logs in by OAuth. */
  metadata(at: string, server: string | undefined): Record<string, unknown> | undefined {
    if (!this.isServed) return undefined;
    if (server !== undefined && !serverName.test(server)) return undefined;
    const path = at.slice(wellKnown.length).replace(":server", server ?? "");
    return {
      resource: `${this.#publicUrl}${path}`,
      authorization_servers: this.#issuers,
      bearer_methods_supported: ["header"],
      ...(this.#scopes.length > 0 && { scopes_supported: this.#scopes }),
    };
  }

  /** The value of `WWW-Authenticate` where a fault asks for one (RFC 6750 §3, RFC 9728 §5.1). */
  challenge(fault: Fault, server: string | undefined): string | undefined {
    if (fault.kind === "insufficient_scope")
      return this.#words('error="insufficient_scope"', fault.details["requiredScopes"] as readonly string[], server);
    if (fault.kind !== "unauthorized") return undefined;
    if (!this.#hasOAuth) return none;
    return this.#words(fault instanceof InvalidCredential ? 'error="invalid_token"' : undefined, this.#scopes, server);
  }

  #words(error: string | undefined, scopes: readonly string[], server: string | undefined): string {
    const at = `${wellKnown}/mcp${server !== undefined && serverName.test(server) ? `/${server}` : ""}`;
    return [
      none,
      ...(error === undefined ? [] : [error]),
      ...(scopes.length > 0 ? [`scope="${scopes.join(" ")}"`] : []),
      ...(this.#publicUrl === undefined ? [] : [`resource_metadata="${this.#publicUrl}${at}"`]),
    ].join(", ");
  }
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
