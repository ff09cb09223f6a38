import type { EgressSection, Endpoint } from "@sluice/contracts";
import type { SectionMap } from "@sluice/bus";
import { resolveSecret } from "@sluice/runtime";
import { createSigner, type Signer } from "@sluice/signing";
import { Connections, type ConnectionsOptions } from "./connections.ts";
import { openCredential, type Credential, type TokenRequests } from "./credentials/index.ts";

/** One endpoint of a tenant, ready to be called. */
export interface Upstream {
  readonly calls: Connections;
  /** For streams of the server's own messages, which hold a connection each for as long as their client wants. */
  readonly streams: Connections;
  readonly endpoint: Endpoint;
  /** Path and query as they go on the request line. */
  readonly path: string;
  readonly pathOnly: string;
  readonly query: string;
  readonly signer: Signer | undefined;
  readonly credential: Credential | undefined;
}

export interface UpstreamOptions {
  readonly connections: number;
  /** Calls that may wait for one of them; a stream never waits, because none may end for long. */
  readonly waiting: number;
  readonly tokens: TokenRequests;
}

/** The upstreams of all tenants, with connections of their own each, which outlive changes of the configuration. */
export class Upstreams implements AsyncDisposable {
  readonly #options: UpstreamOptions;
  readonly #known = new Map<string, Connections>();
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
      calls: this.#connections(`${tenant}/${endpoint.name}/calls`, {
        origin: url.origin,
        waiting: this.#options.waiting,
        full: `too many calls to the server '${endpoint.name}' are under way`,
      }),
      streams: this.#connections(`${tenant}/${endpoint.name}/streams`, {
        origin: url.origin,
        waiting: 0,
        full: `too many streams of the server '${endpoint.name}' are open`,
      }),
      endpoint,
      path: url.pathname + url.search,
      pathOnly: url.pathname,
      query: url.search.slice(1),
      signer,
      credential: this.#credential(tenant, endpoint),
    };
  }

  /** What is in use stays, with the token it has, where an edit did not change it. */
  #credential(tenant: string, endpoint: Endpoint): Credential | undefined {
    const fresh = openCredential({ tenant, endpoint, tokens: this.#options.tokens });
    const inUse = this.find(tenant, endpoint.name)?.credential;
    return fresh?.identity !== undefined && fresh.identity === inUse?.identity ? inUse : fresh;
  }

  #connections(use: string, options: Omit<ConnectionsOptions, "connections">): Connections {
    const key = `${use} ${options.origin}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const connections = new Connections({ ...options, connections: this.#options.connections });
    this.#known.set(key, connections);
    return connections;
  }

  /** Connections to what no endpoint names any more end when their last answer has. */
  #closeUnused(): void {
    const used = new Set<Connections>();
    for (const upstreams of this.#tenants.values())
      for (const { calls, streams } of upstreams.values()) used.add(calls).add(streams);
    for (const [key, connections] of this.#known) {
      if (used.has(connections)) continue;
      this.#known.delete(key);
      void connections.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#known.values()].map((connections) => connections.destroy()));
  }
}
