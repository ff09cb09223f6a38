import type { SectionMap } from "@sluice/bus";
import type { Agent, IngressSection } from "@sluice/contracts";

/** Who calls, after authentication. */
export interface Principal {
  readonly tenant: string;
  readonly agent: Agent;
  /** The authentication method, for the audit trail. */
  readonly method: string;
  /** SHA-256 of the key in hex. */
  readonly keyHash: string;
}

/** What ingress knows of the tenants; replaced as a whole at each change. */
export class Tenants {
  #sections: SectionMap<"ingress"> = new Map();
  #keys = new Map<string, Principal>();
  #keyHeaders: ReadonlySet<string> = new Set();
  #version = 0;

  configure(sections: SectionMap<"ingress">): void {
    const keys = new Map<string, Principal>();
    const headers = new Set<string>();
    for (const [tenant, section] of sections) {
      for (const header of section.keyHeaders) headers.add(header.toLowerCase());
      for (const [hash, agent] of Object.entries(section.keys))
        keys.set(hash, { tenant, agent, method: "apiKey", keyHash: hash });
    }
    this.#version = Math.max(0, ...[...sections.values()].map(({ version }) => version));
    this.#sections = sections;
    this.#keys = keys;
    this.#keyHeaders = headers;
  }

  /** The newest version among the tenants; 0 where there is none. */
  get version(): number {
    return this.#version;
  }

  /** The headers in which any tenant expects keys, in lower case. */
  get keyHeaders(): ReadonlySet<string> {
    return this.#keyHeaders;
  }

  find(tenant: string): IngressSection | undefined {
    return this.#sections.get(tenant);
  }

  /** Whether the key that this principal came with is its key still. */
  knows({ tenant, agent, keyHash }: Principal): boolean {
    const now = this.#keys.get(keyHash);
    return now !== undefined && now.tenant === tenant && now.agent.id === agent.id;
  }

  byKeyHash(sha256Hex: string): Principal | undefined {
    return this.#keys.get(sha256Hex);
  }
}
