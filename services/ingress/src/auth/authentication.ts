import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { Fault } from "@sluice/contracts";
import type { Principal } from "../tenants.ts";
import type { AuthMethod, AuthProblem } from "./auth-method.ts";

/** All methods together. */
export class Authentication {
  readonly #methods: readonly AuthMethod[];
  readonly #byName: ReadonlyMap<string, AuthMethod>;

  constructor(methods: readonly AuthMethod[]) {
    this.#methods = methods;
    this.#byName = new Map(methods.map((method) => [method.name, method]));
  }

  configure(sections: SectionMap<"ingress">): void {
    for (const method of this.#methods) method.configure(sections);
  }

  get problems(): readonly AuthProblem[] {
    return this.#methods.flatMap((method) => method.problems ?? []);
  }

  secretChanged(): void {
    for (const method of this.#methods) method.secretChanged?.();
  }

  /**
   * Who calls; a promise only where a method gives one.
   * @throws Fault `unauthorized`, the same for a missing, wrong or malformed credential.
   */
  authenticate(request: IncomingMessage, first = 0): Principal | Promise<Principal> {
    for (let at = first; at < this.#methods.length; at++) {
      const found = this.#methods[at]?.authenticate(request);
      if (found instanceof Promise) return found.then((principal) => principal ?? this.authenticate(request, at + 1));
      if (found !== undefined) return found;
    }
    throw new Fault("unauthorized", "send a valid API key in x-agent-api-key or as Authorization: Bearer");
  }

  /** Whether the credential that this principal came with is good still. */
  knows(principal: Principal, now: number): boolean {
    const { expiresAtMs } = principal;
    if (expiresAtMs !== undefined && expiresAtMs <= now) return false;
    return this.#byName.get(principal.method)?.knows(principal) === true;
  }
}
