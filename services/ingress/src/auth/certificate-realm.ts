import type { X509Certificate } from "node:crypto";
import type { Agent, Mtls } from "@sluice/contracts";
import { certificatesIn } from "@sluice/runtime";
import { compileAgents } from "./certificate-agents.ts";
import { pathTo, type Presented, type Trust } from "./certificate-path.ts";
import { PemSource } from "./pem-source.ts";
import { revocationsIn } from "./revocations.ts";

export interface RealmOptions {
  readonly tenant: string;
  readonly settings: Mtls;
  /** Told after one of its files has changed. */
  readonly onChange: () => void;
  /** Told why files can't be used; what they held before stays, or nobody comes in by them. */
  readonly onProblem: (problem: string) => void;
}

/** Whose certificates are one tenant's agents. */
export class CertificateRealm implements Disposable {
  readonly tenant: string;
  readonly #options: RealmOptions;
  readonly #agentOf: (certificate: X509Certificate) => Agent | undefined;
  readonly #ca: PemSource;
  readonly #crl: PemSource | undefined;
  #trust: Trust | undefined;

  constructor(options: RealmOptions) {
    const { tenant, settings } = options;
    const onChange = () => {
      this.#load();
      options.onChange();
    };
    this.tenant = tenant;
    this.#options = options;
    this.#agentOf = compileAgents(settings.agents);
    this.#ca = new PemSource({ source: settings.ca, onChange });
    this.#crl = settings.crl === undefined ? undefined : new PemSource({ source: settings.crl, onChange });
    this.#load();
  }

  /** The authorities that vouch here. */
  get pems(): string[] {
    return (this.#trust?.anchors ?? []).map(String);
  }

  /** Who that is here, and until when at most. @throws Error where a certificate is malformed */
  identify(presented: Presented, now: number): { agent: Agent; expiresAtMs: number } | undefined {
    if (this.#trust === undefined) return undefined;
    const path = pathTo(this.#trust, presented, now);
    const agent = path && this.#agentOf(presented.leaf);
    if (path === undefined || agent === undefined) return undefined;
    return { agent, expiresAtMs: Math.min(...path.map(({ validToDate }) => validToDate.getTime())) };
  }

  [Symbol.dispose](): void {
    this.#ca[Symbol.dispose]();
    this.#crl?.[Symbol.dispose]();
  }

  #load(): void {
    try {
      const anchors = certificatesIn(this.#ca.read());
      const strange = anchors.find(({ ca }) => !ca);
      if (strange !== undefined)
        throw new Error(`ca holds a certificate that is no authority's (basic constraint CA:TRUE): ${strange.subject}`);
      const isRevoked = this.#crl === undefined ? () => false : revocationsIn(this.#crl.read(), Date.now);
      this.#trust = { anchors, isRevoked };
    } catch (error) {
      this.#options.onProblem((error as Error).message);
    }
  }
}
