import type { SectionMap } from "@sluice/bus";
import { allServers, Fault, type Agent, type IngressSection } from "@sluice/contracts";

/** Who calls, after authentication. */
export interface Principal {
  readonly tenant: string;
  readonly agent: Agent;
  /** The authentication method, for the audit trail. */
  readonly method: string;
  /** SHA-256 of the key in hex. */
  readonly keyHash: string;
}

/** What somebody uses for longer: as who, and which server. */
export interface Use {
  readonly principal: Principal;
  /** `allServers` for all of a tenant together. */
  readonly server: string;
}

/** What ingress knows of the tenants; replaced as a whole at each change. */
export class Tenants {
  #sections: SectionMap<"ingress"> = new Map();
  #keys = new Map<string, Principal>();
  #keyHeaders: ReadonlySet<string> = new Set();
  #version = 0;
  readonly #uses = new Map<symbol, Use & { readonly end: () => void }>();

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
    for (const use of [...this.#uses.values()]) if (!this.allows(use) || this.isSwitchedOff(use.principal)) use.end();
  }

  /** Whether the tenant's MCP was switched off: policy says so to whoever calls then, and what was begun before ends. */
  isSwitchedOff({ tenant }: Principal): boolean {
    return this.#sections.get(tenant)?.mcpEnabled === false;
  }

  /** Whether who came so may still come so: with this key, to this server. */
  allows({ principal, server }: Use): boolean {
    const servers = this.#sections.get(principal.tenant)?.servers ?? [];
    const isServed = server === allServers ? servers.length > 0 : servers.some(({ name }) => name === server);
    return isServed && this.knows(principal);
  }

  /**
   * Calls `end` when the key or the server is taken away, until the function that it gives back is called.
   * @throws Fault `unauthorized` where that has happened since the principal came.
   */
  whenWithdrawn(use: Use, end: () => void): () => void {
    if (!this.allows(use)) throw new Fault("unauthorized", "the API key is no longer valid");
    const token = Symbol(use.server);
    this.#uses.set(token, { ...use, end });
    return () => this.#uses.delete(token);
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
