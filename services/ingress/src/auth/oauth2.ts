import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import type { Principal } from "../tenants.ts";
import { AskedCredentials, type Finding } from "./asked-credentials.ts";
import { authProblem, type Answered, type AuthContext, type AuthMethod, type AuthProblem } from "./auth-method.ts";
import { bearerOf } from "./bearer.ts";
import { TokenSources, type TokenSource } from "./token-sources.ts";
import { TokenRule, type Accepted } from "./token-rule.ts";

const notOurs = "for another audience or tenant";

interface Shown {
  readonly token: string;
  /** Whether it was good before. */
  readonly isKnown: boolean;
}

/** Access tokens of OAuth 2.0 (RFC 6750): JWTs by their issuer's keys, others by asking their server (RFC 7662). */
class OAuth2 implements AuthMethod {
  readonly name = "oauth2";
  readonly #context: AuthContext;
  readonly #asked: AskedCredentials;
  readonly #sources: TokenSources;
  /** What the rules were made of. */
  #made = "";
  #sections: SectionMap<"ingress"> = new Map();
  #closed: readonly AuthProblem[] = [];
  #outdated: readonly AuthProblem[] = [];

  constructor(context: AuthContext) {
    this.#context = context;
    const { changed } = context;
    this.#sources = new TokenSources(context);
    this.#asked = new AskedCredentials({ changed, ask: (token, isKnown) => this.#ask({ token, isKnown }) });
  }

  configure(sections: SectionMap<"ingress">): void {
    this.#sections = sections;
    const wanted = [...sections].flatMap(([tenant, { oauth2, servers, agentEndpoints }]) =>
      oauth2.map((settings) => ({
        tenant,
        settings,
        servers: servers.map(({ name }) => name),
        agents: agentEndpoints.map(({ name }) => name),
      })),
    );
    const making = JSON.stringify(wanted);
    if (making === this.#made) return;
    this.#made = making;
    const { publicUrl } = this.#context;
    const closed: AuthProblem[] = [];
    const rules = wanted.flatMap((one) => {
      try {
        const rule = new TokenRule({ ...one, publicUrl });
        this.#sources.check(rule);
        return [rule];
      } catch (error) {
        closed.push(authProblem(`tenant ${one.tenant}, oauth2ClientCredentials`, error));
        return [];
      }
    });
    this.#closed = closed;
    this.#outdated = [];
    this.#sources.configure(rules);
    this.#asked.clear();
  }

  get problems(): readonly AuthProblem[] {
    return [...this.#closed, ...this.#outdated];
  }

  secretChanged(): void {
    this.#outdated = this.#sources.renewSecrets().map((error) => authProblem("introspection", error));
    if (this.#closed.length === 0) return;
    this.#made = "";
    this.configure(this.#sections);
  }

  authenticate({ headers }: Pick<IncomingMessage, "headers">): Answered {
    if (this.#sources.size === 0) return undefined;
    const token = bearerOf(headers);
    return token === undefined ? undefined : this.#asked.authenticate(token);
  }

  knows(principal: Principal): boolean {
    return this.#asked.knows(principal);
  }

  #ask(shown: Shown): Promise<Finding> | undefined {
    const sources = this.#sources.of(shown.token);
    return sources === undefined ? undefined : this.#judge(shown, sources);
  }

  /** Whom the token is good for: exactly one tenant, else nobody. @throws Fault where nobody takes it and somebody cannot say */
  async #judge(shown: Shown, sources: readonly TokenSource[]): Promise<Finding> {
    const tried = await Promise.allSettled(sources.map((source) => judgeBy(source, shown)));
    const judged = tried.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const accepted = judged.flatMap((one) => one.accepted);
    const [principal] = accepted;
    const failed = tried.find((one) => one.status === "rejected");
    if (principal === undefined && failed !== undefined) throw failed.reason;
    const now = Date.now();
    if (principal !== undefined && accepted.every(({ tenant }) => tenant === principal.tenant)) {
      const servesMs = Math.min(...sources.map((source) => source.servesMs));
      return { principal, untilMs: Math.min(now + servesMs, principal.expiresAtMs ?? Number.POSITIVE_INFINITY) };
    }
    const reasons =
      accepted.length > 0
        ? [`several tenants take it: ${accepted.map(({ tenant }) => tenant).join(", ")}`]
        : [...judged.flatMap((one) => one.reasons), ...(sources.length === 0 ? [notOurs] : [])];
    this.#context.log.debug({ reasons }, "access token refused");
    return { untilMs: now };
  }
}

/** What the rules that go by this source's word say of a token. */
async function judgeBy(
  { prove, rules }: TokenSource,
  { token, isKnown }: Shown,
): Promise<{ accepted: Accepted[]; reasons: string[] }> {
  const proven = await prove(token, isKnown);
  if (proven === undefined) return { accepted: [], reasons: ["its issuer does not vouch for it"] };
  const accepted: Accepted[] = [];
  const reasons: string[] = [];
  for (const rule of rules) {
    const judged = rule.judge(proven, Date.now());
    if (typeof judged === "string") reasons.push(`${rule.tenant}: ${judged}`);
    else accepted.push(judged);
  }
  return { accepted, reasons };
}

export const oauth2 = (context: AuthContext): AuthMethod => new OAuth2(context);
