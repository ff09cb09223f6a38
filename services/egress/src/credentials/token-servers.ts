import { Agent, type Dispatcher } from "undici";
import { TokenProblem } from "./token-problem.ts";

const connectTimeoutMs = 5_000;

/** The connections to authorization servers: over TLS, or to this machine itself. */
export class TokenServers implements AsyncDisposable {
  readonly #agent = new Agent({ connect: { timeout: connectTimeoutMs } });

  /** @throws TokenProblem for an address that must not be asked */
  reach(url: URL): Dispatcher {
    if (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url))) return this.#agent;
    throw new TokenProblem(`${url.origin} must be asked over https://, for secrets and tokens pass there`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#agent.destroy();
  }
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
