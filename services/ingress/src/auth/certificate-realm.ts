import type { X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Agent, Mtls } from "@sluice/contracts";
import { certificatesIn } from "@sluice/runtime";
import type { Secrets } from "@sluice/secrets";
import { authProblem, type AuthProblem } from "./auth-method.ts";
import { compileAgents } from "./certificate-agents.ts";
import { pathTo, type Presented, type Trust } from "./certificate-path.ts";
import { revocationsIn, type Revocations } from "./revocations.ts";

export interface RealmOptions {
  readonly tenant: string;
  readonly settings: Mtls;
  readonly secrets: Pick<Secrets, "value">;
}

interface Identified {
  readonly who: { readonly agent: Agent; readonly expiresAtMs: number };
  readonly holdsUntilMs: number;
}

const noLists: Revocations = { isRevoked: () => false, goodUntilMs: () => Infinity };

/** Whose certificates are one tenant's agents. */
export class CertificateRealm {
  readonly tenant: string;
  readonly #options: RealmOptions;
  readonly #agentOf: (certificate: X509Certificate) => Agent | undefined;
  #trust: (Trust & Revocations) | undefined;
  #problem: AuthProblem | undefined;

  constructor(options: RealmOptions) {
    this.tenant = options.tenant;
    this.#options = options;
    this.#agentOf = compileAgents(options.settings.agents);
    this.load();
  }

  /** The authorities that vouch here. */
  get pems(): string[] {
    return (this.#trust?.anchors ?? []).map(String);
  }

  /**
   * Who that is here, until when at most, and until when that holds with the revocation lists as they are.
   * @throws Error where a certificate is malformed
   */
  identify(presented: Presented, now: number): Identified | undefined {
    if (this.#trust === undefined) return undefined;
    const path = pathTo(this.#trust, presented, now);
    const agent = path && this.#agentOf(presented.leaf);
    if (path === undefined || agent === undefined) return undefined;
    const expiresAtMs = Math.min(...path.map(({ validToDate }) => validToDate.getTime()));
    const listsEndAtMs = Math.min(...path.slice(1).map(this.#trust.goodUntilMs));
    return { who: { agent, expiresAtMs }, holdsUntilMs: Math.min(expiresAtMs, listsEndAtMs) };
  }

  /** Why the authorities or revocation lists as they are now can't be used. */
  get problem(): AuthProblem | undefined {
    return this.#problem;
  }

  /** Whether the configuration says this of this tenant still. */
  isOf(tenant: string, settings: Mtls): boolean {
    return tenant === this.tenant && isDeepStrictEqual(settings, this.#options.settings);
  }

  /** Reads what the settings refer to. What can't be used changes nothing: what was read before stays, or nobody comes in. */
  load(): void {
    const { tenant, settings } = this.#options;
    try {
      const anchors = certificatesIn(this.#text(settings.ca));
      const strange = anchors.find(({ ca }) => !ca);
      if (strange !== undefined)
        throw new Error(`ca holds a certificate that is no authority's (basic constraint CA:TRUE): ${strange.subject}`);
      const lists = settings.crl === undefined ? noLists : revocationsIn(this.#text(settings.crl), Date.now);
      this.#trust = { anchors, ...lists };
      this.#problem = undefined;
    } catch (error) {
      this.#problem = authProblem(`tenant ${tenant}, mtls`, error);
    }
  }

  #text(source: string): string {
    return source.startsWith("${") ? this.#options.secrets.value(source) : source;
  }
}
