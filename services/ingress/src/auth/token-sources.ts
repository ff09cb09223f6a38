import { openClient, type OAuthClient } from "@sluice/oauth";
import type { AuthContext } from "./auth-method.ts";
import type { Claims } from "./claims.ts";
import { Introspection, introspectionKey } from "./introspection.ts";
import { IssuerKeys } from "./issuer-keys.ts";
import type { Proven, TokenRule } from "./token-rule.ts";

/** Says where a token comes from, which may have been good before; undefined where it does not vouch for it. @throws Fault where that cannot be found out */
type Prove = (token: string, isKnown: boolean) => Promise<Proven | undefined>;

/** What stays with a source from one configuration to the next. */
interface Prover {
  readonly prove: Prove;
  /** As whom it is asked. */
  readonly client?: OAuthClient;
}

/** Who proves where a token comes from, and the rules that go by its word. */
export interface TokenSource {
  readonly prove: Prove;
  readonly rules: TokenRule[];
  /** It goes by the token's own claims; who is asked may know more. */
  readonly isBySignature: boolean;
  /** How long its word serves. */
  servesMs: number;
}

interface OpaqueSource {
  readonly source: TokenSource;
  /** What its tokens begin with. */
  readonly prefix: string;
  readonly hasIssuer: boolean;
}

/** How long a signature that was verified is not looked at again. */
const signatureServesMs = 60_000;
const jwtForm = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*$/;

type Context = Pick<AuthContext, "reach" | "secrets" | "log">;

/** Everybody who is asked about tokens, once however many tenants name them. What an edit leaves alone stays, with its keys. */
export class TokenSources {
  readonly #context: Context;
  #provers = new Map<string, Prover>();
  /** Of the configuration before. */
  #former = new Map<string, Prover>();
  #sources = new Map<string, TokenSource>();
  #byIssuer = new Map<string, Set<TokenSource>>();
  #opaque: OpaqueSource[] = [];
  readonly #toldOf = new Set<string>();

  constructor(context: Context) {
    this.#context = context;
  }

  get size(): number {
    return this.#sources.size;
  }

  /** @throws Error that says which address or secret cannot be used, and why */
  check({ settings }: TokenRule): void {
    const { issuer, jwksUrl, introspectionUrl } = settings;
    for (const address of [issuer, jwksUrl, introspectionUrl])
      if (address !== undefined) this.#context.reach(new URL(address));
    if (introspectionUrl !== undefined) openClient(settings, this.#context.secrets);
  }

  configure(rules: readonly TokenRule[]): void {
    this.#former = this.#provers;
    this.#provers = new Map();
    this.#sources = new Map();
    this.#byIssuer = new Map();
    this.#opaque = [];
    for (const rule of rules) {
      rule.onUrlAsId = () => this.#tellOfUrl(rule);
      this.#add(rule);
    }
    this.#former = new Map();
  }

  /** Takes over secrets that changed; gives back what is wrong with those that are of no use, in the place of which the last stays. */
  renewSecrets(): Error[] {
    return [...this.#provers.values()].flatMap(({ client }) => {
      try {
        client?.read();
        return [];
      } catch (error) {
        return [error as Error];
      }
    });
  }

  /**
   * Whom to ask about a token. A JWT is shown only to the issuer that it names, where a tenant can take it; another token only to the one server whose
   * prefix it has, or to the one that has none: never to several, as most would be strangers to it.
   * Undefined where nobody knows tokens of its kind.
   */
  of(token: string): readonly TokenSource[] | undefined {
    const claims = claimsSaidBy(token);
    const issuer = typeof claims?.["iss"] === "string" ? claims["iss"] : undefined;
    const named = issuer === undefined ? undefined : this.#byIssuer.get(issuer);
    if (claims !== undefined && named !== undefined)
      return [...named].filter(({ rules, isBySignature }) => rules.some((rule) => rule.mayTake(claims, isBySignature)));
    const open = this.#opaque.filter(({ hasIssuer }) => issuer === undefined || !hasIssuer);
    const prefixed = open.filter(({ prefix }) => prefix !== "" && token.startsWith(prefix));
    const [one, ...others] = new Set(
      (prefixed.length > 0 ? prefixed : open.filter(({ prefix }) => prefix === "")).map(({ source }) => source),
    );
    return one === undefined || others.length > 0 ? undefined : [one];
  }

  /** An operator can't see otherwise why clients that log in well are not let in. */
  #tellOfUrl({ tenant, settings: { issuer, introspectionUrl, identityExtraction } }: TokenRule): void {
    const from = issuer ?? introspectionUrl ?? "";
    if (this.#toldOf.has(from)) return;
    this.#toldOf.add(from);
    this.#context.log.warn(
      { tenant, issuer: from, claim: identityExtraction.agentId },
      "access tokens have a URL as the agent's id, which it can't be: name another claim in identityExtraction.agentId",
    );
  }

  #add(rule: TokenRule): void {
    const { issuer, introspectionUrl, jwksUrl, tokenPrefix: prefix = "" } = rule.settings;
    const asked = introspectionUrl === undefined ? undefined : this.#asked(rule, introspectionUrl);
    if (asked !== undefined) this.#opaque.push({ source: asked, prefix, hasIssuer: issuer !== undefined });
    if (issuer === undefined) return;
    const signed = jwksUrl === undefined && asked !== undefined ? asked : this.#signed(rule, issuer);
    this.#byIssuer.set(issuer, (this.#byIssuer.get(issuer) ?? new Set()).add(signed));
  }

  #asked(rule: TokenRule, url: string): TokenSource {
    const { settings } = rule;
    const { issuer, clientId = "", cacheSeconds } = settings;
    const { reach, secrets } = this.#context;
    return this.#source(rule, {
      key: introspectionKey(settings),
      servesMs: cacheSeconds * 1_000,
      open: () => {
        const client = openClient(settings, secrets);
        const server = new Introspection({ url, issuer, clientId, client, reach, report: this.#report });
        const prove: Prove = async (token, isKnown) => {
          const claims = await server.ask(token, isKnown);
          return claims && { claims };
        };
        return { prove, client };
      },
    });
  }

  #signed(rule: TokenRule, issuer: string): TokenSource {
    const { jwksUrl } = rule.settings;
    return this.#source(rule, {
      key: JSON.stringify(["keys", issuer, jwksUrl]),
      servesMs: signatureServesMs,
      open: () => {
        const keys = new IssuerKeys({ issuer, jwksUrl, reach: this.#context.reach, report: this.#report });
        return { prove: (token) => keys.verify(token) };
      },
    });
  }

  #source(
    rule: TokenRule,
    { key, servesMs, open }: { key: string; servesMs: number; open: () => Prover },
  ): TokenSource {
    const prover = this.#provers.get(key) ?? this.#former.get(key) ?? open();
    this.#provers.set(key, prover);
    const source = this.#sources.get(key) ?? {
      prove: prover.prove,
      rules: [],
      isBySignature: prover.client === undefined,
      servesMs,
    };
    source.servesMs = Math.min(source.servesMs, servesMs);
    source.rules.push(rule);
    this.#sources.set(key, source);
    return source;
  }

  readonly #report = (problem: string): void => this.#context.log.warn({ problem }, "access tokens cannot be verified");
}

/** What a JWT says of itself, which nothing proves yet: it only says whom to ask. */
function claimsSaidBy(token: string): Claims | undefined {
  const payload = jwtForm.exec(token)?.[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    return typeof claims === "object" && claims !== null ? (claims as Claims) : undefined;
  } catch {
    return undefined;
  }
}
