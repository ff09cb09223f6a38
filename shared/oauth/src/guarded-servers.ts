import { isIP } from "node:net";
import { createAddressGuard, guardedAgent, type AddressGuard, type GuardedConnectorOptions } from "@sluice/net";
import type { Agent, Dispatcher } from "undici";
import { ServerProblem } from "./server-problem.ts";

const timeoutMs = 5_000;

/**
 * The connections to authorization servers: over TLS to addresses that the guard lets pass, in clear to those of them
 * that are not public, such as this machine or a network that the operator allowed.
 */
export class GuardedServers implements AsyncDisposable {
  readonly #guard: AddressGuard;
  readonly #insideOnly: AddressGuard;
  readonly #overTls: Agent;
  readonly #inClear: Agent;

  constructor({ guard, ...options }: Pick<GuardedConnectorOptions, "guard" | "resolve">) {
    this.#guard = guard;
    this.#insideOnly = insideOnly(guard);
    this.#overTls = guardedAgent({ ...options, timeoutMs, guard });
    this.#inClear = guardedAgent({ ...options, timeoutMs, guard: this.#insideOnly });
  }

  /** @throws ServerProblem for an address that must not be asked; what a name stands for is judged when connecting */
  reach(url: URL): Dispatcher {
    const overTls = url.protocol === "https:";
    if (!overTls && url.protocol !== "http:") throw new ServerProblem(`${url.origin} must be an https:// address`);
    const refusal = (overTls ? this.#guard : this.#insideOnly).refusalOfUrl(url.href);
    if (refusal !== undefined) throw new ServerProblem(refusal.reason);
    return overTls ? this.#overTls : this.#inClear;
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
