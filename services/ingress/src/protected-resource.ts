import type { SectionMap } from "@sluice/bus";
import type { Fault, Protocol } from "@sluice/contracts";
import { InvalidCredential } from "./auth/asked-credentials.ts";
import { neededBy, type NeededScopes } from "./auth/token-rule.ts";

const wellKnown = "/.well-known/oauth-protected-resource";
/** Where the metadata is: of the gateway, of all servers of a tenant under one address, and of one server. */
export const resourcePaths = [
  wellKnown,
  `${wellKnown}/mcp`,
  `${wellKnown}/mcp/:server`,
  `${wellKnown}/a2a`,
  `${wellKnown}/a2a/:server`,
] as const;

/** What a request was for, as its path says. */
export interface Sought {
  readonly protocol: Protocol;
  /** The server or agent. */
  readonly server: string | undefined;
}

const serverName = /^[a-z0-9-]{1,63}$/;
const none = 'Bearer realm="sluice"';

/**
 * What clients need to know to log in by themselves (RFC 9728): who issues tokens for this gateway, and what a token must
 * hold. It is the same for everybody, as nobody has said yet whose tenant he is of.
 */
export class ProtectedResource {
  readonly #publicUrl: string | undefined;
  #issuers: readonly string[] = [];
  #scopes: NeededScopes = { mcp: [], a2a: [] };
  #hasOAuth = false;

  constructor(publicUrl: string | undefined) {
    this.#publicUrl = publicUrl;
  }

  configure(sections: SectionMap<"ingress">): void {
    const methods = [...sections.values()].flatMap(({ oauth2 }) => oauth2);
    this.#hasOAuth = methods.length > 0;
    this.#issuers = unique(methods.flatMap(({ issuer }) => issuer ?? []));
    const scopesFor = (protocol: Protocol) => unique(methods.flatMap((method) => neededBy(method)[protocol]));
    this.#scopes = { mcp: scopesFor("mcp"), a2a: scopesFor("a2a") };
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
    const scopes = this.#scopes[path.startsWith("/a2a") ? "a2a" : "mcp"];
    return {
      resource: `${this.#publicUrl}${path}`,
      authorization_servers: this.#issuers,
      bearer_methods_supported: ["header"],
      ...(scopes.length > 0 && { scopes_supported: scopes }),
    };
  }

  /** The value of `WWW-Authenticate` where a fault asks for one (RFC 6750 §3, RFC 9728 §5.1). */
  challenge(fault: Fault, sought: Sought): string | undefined {
    if (fault.kind === "insufficient_scope")
      return this.#words('error="insufficient_scope"', fault.details["requiredScopes"] as readonly string[], sought);
    if (fault.kind !== "unauthorized") return undefined;
    if (!this.#hasOAuth) return none;
    const error = fault instanceof InvalidCredential ? 'error="invalid_token"' : undefined;
    return this.#words(error, this.#scopes[sought.protocol], sought);
  }

  #words(error: string | undefined, scopes: readonly string[], { protocol, server }: Sought): string {
    const at = `${wellKnown}/${protocol}${server !== undefined && serverName.test(server) ? `/${server}` : ""}`;
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
