import type { EgressSection, Endpoint } from "@sluice/contracts";
import type { SectionMap } from "@sluice/bus";
import { resolveSecret } from "@sluice/runtime";
import { createSigner, type Signer } from "@sluice/signing";
import { Pool } from "undici";

/** One endpoint of a tenant, ready to be called. */
export interface Upstream {
  readonly pool: Pool;
  /** For streams of the server's own messages, which hold a connection each for as long as their client wants. */
  readonly listening: Pool;
  readonly endpoint: Endpoint;
  /** Path and query as they go on the request line. */
  readonly path: string;
  readonly pathOnly: string;
  readonly query: string;
  readonly signer: Signer | undefined;
}

export interface UpstreamOptions {
  readonly connections: number;
}

const connectTimeoutMs = 10_000;
const keepAliveTimeoutMs = 60_000;

/** The upstreams of all tenants, with connections of their own each, which outlive changes of the configuration. */
export class Upstreams implements AsyncDisposable {
  readonly #options: UpstreamOptions;
  readonly #pools = new Map<string, Pool>();
  #tenants = new Map<string, Map<string, Upstream>>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  find(tenant: string, server: string): Upstream | undefined {
    return this.#tenants.get(tenant)?.get(server);
  }

  /** Takes over a version of the configuration; returns what is wrong with endpoints that can't be used, which then stay closed. */
  configure(sections: SectionMap<"egress">): string[] {
    const problems: string[] = [];
    const tenants = new Map<string, Map<string, Upstream>>();
    for (const [tenant, section] of sections) tenants.set(tenant, this.#prepare(tenant, section, problems));
    this.#tenants = tenants;
    this.#closeUnused();
    return problems;
  }

  #prepare(tenant: string, section: EgressSection, problems: string[]): Map<string, Upstream> {
    const upstreams = new Map<string, Upstream>();
    for (const endpoint of section.endpoints) {
      try {
        upstreams.set(endpoint.name, this.#upstream(tenant, endpoint));
      } catch (error) {
        problems.push(`tenant ${tenant}, endpoint ${endpoint.name}: ${(error as Error).message}`);
      }
    }
    return upstreams;
  }

  #upstream(tenant: string, endpoint: Endpoint): Upstream {
    const url = new URL(endpoint.url);
    const signing = endpoint.signing;
    const signer =
      signing && createSigner({ mode: signing.mode, keyId: signing.keyId, secret: resolveSecret(signing.secret) });
    return {
      pool: this.#pool(`${tenant}/${endpoint.name}/calls`, url.origin),
      listening: this.#pool(`${tenant}/${endpoint.name}/streams`, url.origin),
      endpoint,
      path: url.pathname + url.search,
      pathOnly: url.pathname,
      query: url.search.slice(1),
      signer,
    };
  }

  #pool(use: string, origin: string): Pool {
    const key = `${use} ${origin}`;
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const pool = new Pool(origin, {
      connections: this.#options.connections,
      connect: { timeout: connectTimeoutMs },
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#pools.set(key, pool);
    return pool;
  }

  /** Pools that no endpoint names any more end when their last answer has. */
  #closeUnused(): void {
    const used = new Set<Pool>();
    for (const upstreams of this.#tenants.values())
      for (const { pool, listening } of upstreams.values()) used.add(pool).add(listening);
    for (const [key, pool] of this.#pools) {
      if (used.has(pool)) continue;
      this.#pools.delete(key);
      void pool.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }
}
