import { longestIssuer, type OAuth2Method, type Protocol } from "@sluice/contracts";
import { reachOf } from "../reach.ts";
import type { Principal } from "../tenants.ts";
import { claimAt, identityReader, isBounded, scopesIn, type Claims, type Identity } from "./claims.ts";

/** Whom a token is accepted for; not yet which token it was. */
export type Accepted = Omit<Principal, "credential">;

/** What is known of a token whose origin is proven: by its signature, or by the word of its server. */
export interface Proven {
  readonly claims: Claims;
  /** What it is signed with; absent where the server's word stands for it. */
  readonly algorithm?: string;
}

export interface TokenRuleOptions {
  readonly tenant: string;
  readonly settings: OAuth2Method;
  /** The tenant's servers, and its agents behind the gateway. */
  readonly servers: readonly string[];
  readonly agents: readonly string[];
  /** Where agents reach this gateway, without a slash at its end. */
  readonly publicUrl: string | undefined;
}

export type NeededScopes = Readonly<Record<"mcp" | "a2a", readonly string[]>>;

/** The scopes that a method wants, by protocol. */
export function neededBy({ requiredScopes: needed }: Pick<OAuth2Method, "requiredScopes">): NeededScopes {
  return Array.isArray(needed) ? { mcp: needed, a2a: needed } : needed;
}

/** What one tenant wants of the tokens of one authorization server. */
export class TokenRule {
  readonly #options: TokenRuleOptions;
  readonly #identityOf: (claims: Claims) => Identity | undefined;
  readonly #tenantOf: ((claims: Claims) => unknown) | undefined;
  /** What `aud` may name, and what that is for where it is not for all. */
  readonly #audiences: ReadonlyMap<string, string | undefined> | undefined;
  readonly #idOf: (claims: Claims) => unknown;
  readonly neededScopes: NeededScopes;
  /** Called for each token that is good but for its agent's id, which is a URL, as of clients that are named by their metadata document. */
  onUrlAsId: (() => void) | undefined;

  /** @throws Error that says what is missing */
  constructor(options: TokenRuleOptions) {
    this.#options = options;
    const { settings } = options;
    const { tenantClaim } = settings;
    this.#identityOf = identityReader(settings.identityExtraction);
    this.#idOf = claimAt(settings.identityExtraction.agentId);
    this.#tenantOf = tenantClaim && claimAt(tenantClaim.name);
    this.#audiences = audiencesOf(options);
    this.neededScopes = neededBy(settings);
  }

  get tenant(): string {
    return this.#options.tenant;
  }

  get settings(): OAuth2Method {
    return this.#options.settings;
  }

  /** Whom the token is good for, or why it is not, in words for operators that hold nothing of it. */
  judge(proven: Proven, now: number): Accepted | string {
    const { tenant, settings } = this.#options;
    const { claims } = proven;
    const origin = this.#originOf(proven);
    if (typeof origin === "string") return origin;
    const times = this.#timesOf(claims, now);
    if (typeof times === "string") return times;
    if (claims["cnf"] !== undefined) return "bound to a key of its holder, which a bearer token does not prove";
    const servers = this.#serversOf(claims);
    if (servers === undefined) return "for another audience";
    const own = settings.tenantClaim?.value ?? tenant;
    if (this.#tenantOf !== undefined && this.#tenantOf(claims) !== own) return "of another tenant";
    const identity = this.#identityOf(claims);
    if (identity === undefined) {
      if (isUrl(this.#idOf(claims))) this.onUrlAsId?.();
      return `without an agent id in '${settings.identityExtraction.agentId}'`;
    }
    const scopes = scopesIn(claims);
    if (!isBounded(scopes)) return "with too many scopes";
    const { neededScopes } = this;
    return { ...identity, ...times, ...servers, ...origin, tenant, method: "oauth2", scopes, neededScopes };
  }

  /** Whether a token can be for this tenant that says so much of itself, though nothing proves it yet. What it leaves out is open where `isWhole` does not hold. */
  mayTake(claims: Claims, isWhole: boolean): boolean {
    const { tenantClaim } = this.#options.settings;
    const own = tenantClaim?.value ?? this.tenant;
    const said = this.#tenantOf?.(claims);
    const isOther = this.#tenantOf !== undefined && said !== own && (isWhole || said !== undefined);
    return !isOther && ((!isWhole && claims["aud"] === undefined) || this.#serversOf(claims) !== undefined);
  }

  #originOf({ claims, algorithm }: Proven): Required<Pick<Accepted, "issuer">> | string {
    const { issuer: own, introspectionUrl = "", algorithms } = this.#options.settings;
    if (algorithm !== undefined && !(algorithms as readonly string[]).includes(algorithm))
      return "signed with another algorithm than allowed";
    const { iss: issuer = own ?? new URL(introspectionUrl).origin } = claims;
    if (typeof issuer !== "string" || issuer.length > longestIssuer) return "its issuer cannot be read";
    return own === undefined || issuer === own ? { issuer } : "of another issuer";
  }

  #timesOf({ exp, nbf }: Claims, now: number): Pick<Accepted, "expiresAtMs"> | string {
    const skewMs = this.#options.settings.clockSkewSeconds * 1_000;
    if (nbf !== undefined && !(typeof nbf === "number" && nbf * 1_000 <= now + skewMs)) return "not valid yet";
    if (exp === undefined) return {};
    return typeof exp === "number" && exp * 1_000 + skewMs > now ? { expiresAtMs: exp * 1_000 + skewMs } : "expired";
  }

  /** The servers that the token is for, where it is not for all; undefined where it is for none. */
  #serversOf({ aud }: Claims): Pick<Accepted, "servers"> | undefined {
    const audiences = this.#audiences;
    if (audiences === undefined) return {};
    const named = (Array.isArray(aud) ? (aud as unknown[]) : [aud]).filter(
      (one): one is string => typeof one === "string" && audiences.has(one),
    );
    if (named.length === 0) return undefined;
    const servers = named.map((one) => audiences.get(one));
    return servers.includes(undefined) ? {} : { servers: servers.filter((server) => server !== undefined) };
  }
}

function isUrl(id: unknown): boolean {
  return typeof id === "string" && id.startsWith("https://");
}

/** Undefined where any will do. */
function audiencesOf({
  settings,
  servers,
  agents,
  publicUrl,
}: TokenRuleOptions): ReadonlyMap<string, string | undefined> | undefined {
  const { audience } = settings;
  if (audience === "any") return undefined;
  if (audience !== undefined) return new Map([audience].flat().map((one) => [one, undefined]));
  if (publicUrl === undefined)
    throw new Error("say what audience its tokens have, or set PUBLIC_URL, which is the audience otherwise");
  const addressed = (protocol: Protocol, name: string | undefined) =>
    [`${publicUrl}/${protocol}${name === undefined ? "" : `/${name}`}`, reachOf(protocol, name)] as const;
  return new Map<string, string | undefined>([
    [publicUrl, undefined],
    ...[undefined, ...servers].map((server) => addressed("mcp", server)),
    ...[undefined, ...agents].map((agent) => addressed("a2a", agent)),
  ]);
}
