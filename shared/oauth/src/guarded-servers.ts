import { isIP } from "node:net";
import { createAddressGuard, guardedAgent, type AddressGuard, type GuardedConnectorOptions } from "@sluice/net";
import type { Agent, Dispatcher } from "undici";
import { ServerProblem } from "./server-problem.ts";

const timeoutMs = 5_000;

type TlsOf = NonNullable<GuardedConnectorOptions["tls"]>;

/**
 * The connections to authorization servers: over TLS to addresses that the guard lets pass, in clear to those of them
 * that are not public, such as this machine or a network that the operator allowed.
 */
export class GuardedServers implements AsyncDisposable {
  readonly #guard: AddressGuard;
  readonly #insideOnly: AddressGuard;
  readonly #overTls: Agent;
  readonly #inClear: Agent;
  readonly #options: GuardedConnectorOptions;
  readonly #withTls = new WeakMap<TlsOf, Agent>();

  constructor({ guard, ...options }: Pick<GuardedConnectorOptions, "guard" | "resolve">) {
    this.#guard = guard;
    this.#insideOnly = insideOnly(guard);
    this.#options = { ...options, timeoutMs, guard };
    this.#overTls = guardedAgent(this.#options);
    this.#inClear = guardedAgent({ ...options, timeoutMs, guard: this.#insideOnly });
  }

  /**
   * `tls` says what connections are made with, and has connections of its own.
   * @throws ServerProblem for an address that must not be asked; what a name stands for is judged when connecting
   */
  reach(url: URL, tls?: TlsOf): Dispatcher {
    const overTls = url.protocol === "https:";
    if (!overTls && url.protocol !== "http:") throw new ServerProblem(`${url.origin} must be an https:// address`);
    const refusal = (overTls ? this.#guard : this.#insideOnly).refusalOfUrl(url.href);
    if (refusal !== undefined) throw new ServerProblem(refusal.reason);
    if (!overTls) return this.#inClear;
    return tls === undefined ? this.#overTls : this.#agentWith(tls);
  }

  #agentWith(tls: TlsOf): Agent {
    const agent = this.#withTls.get(tls) ?? guardedAgent({ ...this.#options, tls });
    this.#withTls.set(tls, agent);
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#overTls.destroy(), this.#inClear.destroy()]);
  }
}

function insideOnly(guard: AddressGuard): AddressGuard {
  const everywhere = createAddressGuard([]);
  const refusalOf = (address: string) =>
    guard.refusalOf(address) ??
    (everywhere.refusalOf(address) === undefined
      ? { address, range: "public", reason: `${address} is a public address: secrets go there over https:// only` }
      : undefined);
  return {
    refusalOf,
    refusalOfUrl: (url) => {
      const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
      return isIP(host) === 0 ? guard.refusalOfUrl(url) : refusalOf(host);
    },
  };
}
