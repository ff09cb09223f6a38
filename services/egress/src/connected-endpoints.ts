import type { Endpoint, Protocol } from "@sluice/contracts";
import { guardedConnector, type AddressGuard } from "@sluice/net";
import { referencesIn, requireStrong, type Secrets } from "@sluice/secrets";
import { createSigner, type Signer } from "@sluice/signing";
import type { Log } from "@sluice/telemetry";
import { Breaker, Connections } from "@sluice/relay";
import { closedBy, ClosedEndpoints, type ClosedEndpoint } from "./closed-endpoints.ts";
import { openCredential, type Credential, type TokenRequests } from "./credentials/index.ts";
import { TlsInUse } from "./upstream-tls.ts";

/** What of an endpoint's configuration says how it is reached, whatever is spoken there. */
export type Reachable = Pick<Endpoint, "name" | "url" | "signing" | "credentials" | "tls" | "responseTimeoutMs">;

/** What an endpoint is called towards its callers. */
const nouns: Readonly<Record<Protocol, string>> = { mcp: "server", a2a: "agent" };

/** One endpoint of a tenant, ready to be called. */
export interface Connected<To extends Reachable> {
  readonly calls: Connections;
  /** For streams of the server's own messages, which hold a connection each for as long as their client wants. */
  readonly streams: Connections;
  readonly tenant: string;
  readonly endpoint: To;
  /** What callers are told that it is, such as `server 'search'`. */
  readonly title: string;
  /** Path and query as they go on the request line. */
  readonly path: string;
  readonly pathOnly: string;
  readonly query: string;
  readonly signer: Signer | undefined;
  readonly credential: Credential | undefined;
  /** Looks whether the secrets are outdated, because the upstream answered 401 to them. */
  readonly lookAgain: () => void;
  /** Told each status where calls are signed and nothing more; the answer itself is the agent's. */
  readonly signatureRefused: (status: number) => undefined;
}

type Keys = Pick<Connected<Reachable>, "signer" | "credential">;

/** Whether a tenant's server stays, under this address. */
export type Stays = (tenant: string, server: string, url: string) => boolean;

export interface ConnectedOptions {
  readonly connections: number;
  /** Calls that may wait for one of them; a stream never waits, because none may end for long. */
  readonly waiting: number;
  readonly tokens: TokenRequests;
  /** They hold what the endpoints refer to. */
  readonly secrets: Pick<Secrets, "value" | "again">;
  readonly guard: AddressGuard;
  /** Failures of an upstream in a row that close it for `breakerOpenMs`; 0: none do. */
  readonly breakerFailures: number;
  readonly breakerOpenMs: number;
  readonly log: Log;
}

/** What endures of an upstream: its connections, and what is known about its health. */
interface Line extends Pick<Connected<Reachable>, "calls" | "streams"> {
  readonly tenant: string;
  readonly server: string;
  readonly breaker: Breaker;
  readonly tls: TlsInUse;
}

/** The endpoints of one protocol of all tenants, with connections of their own each, which outlive changes of the configuration. */
export class ConnectedEndpoints<To extends Reachable> implements AsyncDisposable {
  readonly protocol: Protocol;
  readonly #options: ConnectedOptions;
  readonly #lines = new Map<string, Line>();
  #tenants = new Map<string, Map<string, Connected<To>>>();
  readonly #heeding: ((stays: Stays) => void)[] = [];
  #closed = new ClosedEndpoints();
  /** Reference → the endpoints that name it. */
  #naming = new Map<string, { tenant: string; endpoint: To }[]>();

  constructor(protocol: Protocol, options: ConnectedOptions) {
    this.protocol = protocol;
    this.#options = options;
  }

  /** Calls back while what an edit takes away can still be reached. */
  beforeChange(heed: (stays: Stays) => void): void {
    this.#heeding.push(heed);
  }

  find(tenant: string, server: string): Connected<To> | undefined {
    return this.#tenants.get(tenant)?.get(server);
  }

  /** What the gateway authenticates with there: the `type` of its credentials, `hmac` where calls are signed and nothing more, or `none`. */
  credentialTypeOf(tenant: string, server: string): string | undefined {
    const endpoint = this.find(tenant, server)?.endpoint;
    return endpoint && (endpoint.credentials?.type ?? (endpoint.signing === undefined ? "none" : "hmac"));
  }

  /** Whether each upstream's breaker is open. */
  *breakers(): Iterable<{ tenant: string; server: string; open: boolean }> {
    for (const { tenant, server, breaker } of this.#lines.values()) yield { tenant, server, open: breaker.open };
  }

  /** Endpoints that can't be used, because of their secrets for the most part: calls to them are refused. */
  get closed(): readonly ClosedEndpoint[] {
    return this.#closed.all;
  }

  /** What is to be mended, in closed endpoints and in those that go on with an older secret. */
  get problems(): string[] {
    return this.#closed.problems;
  }

  /** Takes over a version of the configuration; returns the endpoints that stay closed under it. */
  connect(sections: ReadonlyMap<string, readonly To[]>): readonly ClosedEndpoint[] {
    const stays: Stays = (tenant, server, url) =>
      sections.get(tenant)?.some((endpoint) => endpoint.name === server && endpoint.url === url) === true;
    for (const heed of this.#heeding) heed(stays);
    this.#closed = new ClosedEndpoints();
    this.#naming = new Map();
    const tenants = new Map<string, Map<string, Connected<To>>>();
    for (const [tenant, endpoints] of sections) tenants.set(tenant, this.#prepare(tenant, endpoints));
    this.#tenants = tenants;
    this.#closeUnused();
    return this.closed;
  }

  /**
   * Takes over a secret that changed: calls from now on use it, and an endpoint that was closed for want of it opens.
   * Returns the endpoints that can't use it; those that are open go on with the one before.
   */
  renew(reference: string): readonly ClosedEndpoint[] {
    const unfit: ClosedEndpoint[] = [];
    for (const { tenant, endpoint } of this.#naming.get(reference) ?? []) {
      const problem = this.#renew(tenant, endpoint);
      if (problem !== undefined) unfit.push(problem);
    }
    return unfit;
  }

  #renew(tenant: string, endpoint: To): ClosedEndpoint | undefined {
    const inUse = this.find(tenant, endpoint.name);
    try {
      if (inUse !== undefined) {
        this.#line(tenant, endpoint);
        Object.assign(inUse, this.#keys(tenant, endpoint));
      } else this.#tenants.get(tenant)?.set(endpoint.name, this.#upstream(tenant, endpoint));
      this.#closed.open(tenant, endpoint.name);
      return undefined;
    } catch (error) {
      const closed = closedBy(error, { tenant, protocol: this.protocol, endpoint });
      if (inUse === undefined) this.#closed.close(closed);
      else this.#closed.leaveOpen(closed);
      return closed;
    }
  }

  #prepare(tenant: string, endpoints: readonly To[]): Map<string, Connected<To>> {
    const upstreams = new Map<string, Connected<To>>();
    for (const endpoint of endpoints) {
      this.#noteReferences(tenant, endpoint);
      try {
        upstreams.set(endpoint.name, this.#upstream(tenant, endpoint));
      } catch (error) {
        this.#closed.close(closedBy(error, { tenant, protocol: this.protocol, endpoint }));
      }
    }
    return upstreams;
  }

  #noteReferences(tenant: string, endpoint: To): void {
    for (const reference of new Set(referencesIn(endpoint))) {
      const naming = this.#naming.get(reference) ?? [];
      naming.push({ tenant, endpoint });
      this.#naming.set(reference, naming);
    }
  }

  #upstream(tenant: string, endpoint: To): Connected<To> {
    const url = new URL(endpoint.url);
    const keys = this.#keys(tenant, endpoint);
    const references = referencesIn(endpoint);
    const lookAgain = () => references.forEach((reference) => this.#options.secrets.again(reference));
    const { calls, streams } = this.#line(tenant, endpoint);
    return {
      calls,
      streams,
      tenant,
      endpoint,
      title: this.#title(endpoint),
      path: url.pathname + url.search,
      pathOnly: url.pathname,
      query: url.search.slice(1),
      ...keys,
      lookAgain,
      signatureRefused: (status) => (status === 401 ? void lookAgain() : undefined),
    };
  }

  #keys(tenant: string, endpoint: Reachable): Keys {
    const { secrets } = this.#options;
    const { signing } = endpoint;
    const secret = signing && requireStrong(signing.secret, secrets.value(signing.secret));
    return {
      signer: signing && createSigner({ mode: signing.mode, keyId: signing.keyId, secret: secret ?? "" }),
      credential: this.#credential(tenant, endpoint),
    };
  }

  /** What is in use stays, with the token it has, where an edit did not change it. */
  #credential(tenant: string, endpoint: Reachable): Credential | undefined {
    const { tokens, secrets } = this.#options;
    const fresh = openCredential({ tenant, endpoint, title: this.#title(endpoint), tokens, secrets });
    const inUse = this.find(tenant, endpoint.name)?.credential;
    if (fresh?.identity === undefined || fresh.identity !== inUse?.identity) return fresh;
    inUse.secretChanged?.();
    return inUse;
  }

  /** With TLS as its secrets are now. @throws Error where they are of no use, and nothing changes then */
  #line(tenant: string, endpoint: Reachable): Line {
    const { name: server, url, tls: settings } = endpoint;
    const { origin } = new URL(url);
    const key = `${tenant}/${server} ${origin} ${JSON.stringify(settings)}`;
    const known = this.#lines.get(key);
    const { guard, connections, waiting, log, secrets } = this.#options;
    const tls = known?.tls ?? new TlsInUse(secrets);
    tls.read(settings);
    if (known !== undefined) return known;
    const title = this.#title(endpoint);
    const breaker = this.#breaker(tenant, endpoint);
    const connector = guardedConnector({
      guard,
      ...(settings !== undefined && { tls: tls.material }),
      onRefused: (error) =>
        log.warn({ tenant, [nouns[this.protocol]]: server, error: error.message }, "not connected: forbidden address"),
    });
    const shared = { origin, connector, breaker, connections };
    const line: Line = {
      tenant,
      server,
      breaker,
      tls,
      calls: new Connections({ ...shared, waiting, full: `too many calls to the ${title} are under way` }),
      streams: new Connections({
        ...shared,
        isPatient: true,
        waiting: 0,
        full: `too many streams of the ${title} are open`,
      }),
    };
    this.#lines.set(key, line);
    return line;
  }

  #breaker(tenant: string, endpoint: Reachable): Breaker {
    const { breakerFailures, breakerOpenMs, log } = this.#options;
    return new Breaker({
      failures: breakerFailures,
      openMs: breakerOpenMs,
      refusal: `the ${this.#title(endpoint)} did not answer lately: try again later`,
      onChange: (open) => {
        const place = { tenant, [nouns[this.protocol]]: endpoint.name };
        if (open) log.warn(place, "upstream does not answer: calls are refused, but for probes");
        else log.info(place, "upstream answers again");
      },
    });
  }

  #title({ name }: Reachable): string {
    return `${nouns[this.protocol]} '${name}'`;
  }

  /** Connections to what no endpoint names any more end when their last answer has. */
  #closeUnused(): void {
    const used = new Set<Connections>();
    for (const upstreams of this.#tenants.values()) for (const { calls } of upstreams.values()) used.add(calls);
    for (const [key, { calls, streams }] of this.#lines) {
      if (used.has(calls)) continue;
      this.#lines.delete(key);
      void calls.close();
      void streams.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const lines = [...this.#lines.values()];
    await Promise.all(lines.flatMap(({ calls, streams }) => [calls.destroy(), streams.destroy()]));
  }
}
