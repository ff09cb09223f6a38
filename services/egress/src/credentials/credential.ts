import type { Endpoint } from "@sluice/contracts";
import type { Reach } from "@sluice/oauth";
import type { Secrets } from "@sluice/secrets";

export type Fields = Readonly<Record<string, string>>;

/** What the gateway shows to one endpoint of one tenant. */
export interface Credential {
  /** Two of the same identity are interchangeable: an edit of the configuration that leaves it alone keeps what was fetched. */
  readonly identity?: string;
  /** Takes over secrets as they are now, where it stays. @throws SecretProblem where they are of no use */
  secretChanged?(): void;
  /**
   * The header fields for one request, in lower case; a promise only where something must be fetched first.
   * @throws Fault `upstream_failed` where there is nothing to show
   */
  fields(): Fields | Promise<Fields>;
  /** The upstream answered 401 to these. */
  refused?(fields: Fields): void;
}

/** How authorization servers are reached. */
export interface TokenRequests {
  readonly reach: Reach;
  /** Told why a token could not be fetched, for operators; holds no secret. */
  readonly report: (problem: string) => void;
}

export interface CredentialContext {
  readonly tenant: string;
  readonly endpoint: Pick<Endpoint, "name" | "url" | "credentials">;
  /** What callers are told that the endpoint is, such as `server 'search'`. */
  readonly title: string;
  readonly tokens: TokenRequests;
  /** They hold what the endpoint refers to. */
  readonly secrets: Pick<Secrets, "value" | "again">;
}
