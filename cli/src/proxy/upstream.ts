import { Fault } from "@sluice/contracts";
import { Breaker, Connections, Exchange, signatureOf } from "@sluice/relay";
import type { ClientTls } from "@sluice/runtime";
import { createSigner, type Signer } from "@sluice/signing";
import { buildConnector } from "undici";
import type { Settings } from "./settings.ts";

/** Of one upstream from one machine: event streams that stay open must leave room for calls, which never wait for one to end. */
const mostConnections = 4_096;
const mostWaiting = 0;

/** A request as it goes to the upstream, but for its signature. */
export interface Sent {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As the client wrote it, with the query. */
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer | AsyncIterable<Buffer> | null;
}

/** The one upstream: signs a request and sends it once. */
export class Upstream implements AsyncDisposable {
  readonly #connections: Connections;
  readonly #signer: Signer;
  readonly #settings: Settings;
  readonly #endpoint: URL;

  /** @throws Error where the secret or the TLS files are unfit. */
  constructor(settings: Settings, tls: ClientTls | undefined) {
    this.#settings = settings;
    this.#endpoint = new URL(settings.MCP_UPSTREAM_URL);
    const { SIGNING_MODE: mode, MCP_API_KEY: keyId, MCP_API_SECRET: secret } = settings;
    this.#signer = createSigner({ mode, keyId, secret });
    const { ca, cert, key } = tls ?? {};
    this.#connections = new Connections({
      origin: this.#endpoint.origin,
      connector: buildConnector({
        timeout: settings.UPSTREAM_CONNECT_TIMEOUT_MS,
        ...(ca !== undefined && { ca }),
        ...(cert !== undefined && { cert, key }),
      }),
      // Every request is tried: whoever sits before it wants to see for himself.
      breaker: new Breaker({ failures: 0, openMs: 0, refusal: "", onChange: () => {} }),
      connections: mostConnections,
      waiting: mostWaiting,
      full: "too many calls to the upstream are under way",
    });
  }

  get origin(): string {
    return this.#endpoint.origin;
  }

  /** @throws Fault `overloaded` where there is no room. */
  send({ method, target, headers, body }: Sent): Exchange {
    const path = this.targetOf(target);
    const at = path.indexOf("?");
    const [pathOnly, query] = at === -1 ? [path, ""] : [path.slice(0, at), path.slice(at + 1)];
    const signature = signatureOf(this.#signer, this.#settings.SIGNING_MODE, { method, path: pathOnly, query, body });
    return new Exchange(this.#connections, { path, method, headers: Object.assign(headers, signature), body });
  }

  /** `/mcp` stands for the endpoint, whatever its path is (`/mcp` where it has none); everything else for itself at the same origin. */
  targetOf(target: string): string {
    const [, rest] = /^\/mcp(?=$|[/?])(.*)$/s.exec(target) ?? [];
    const { pathname, search } = this.#endpoint;
    if (rest === undefined) return target;
    const path = pathname === "/" ? "/mcp" : pathname;
    if (rest.startsWith("/")) return path.replace(/\/$/, "") + rest;
    if (rest === "") return path + search;
    return path + (search === "" ? rest : `${search}&${rest.slice(1)}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connections.destroy();
  }
}

/** What a client is told that got no answer. */
export function timedOut(what: string): Fault {
  return new Fault("upstream_timeout", `the upstream ${what} in time`);
}
