import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { Fault } from "@sluice/contracts";
import { isSameAgent, type Principal } from "../tenants.ts";
import type { AuthMethod, AuthProblem } from "./auth-method.ts";
import { showsKey } from "./key-headers.ts";

const bearer = /^bearer(?: |$)/i;

/** All methods together. */
export class Authentication {
  readonly #methods: readonly AuthMethod[];
  readonly #disputing: readonly AuthMethod[];
  readonly #byName: ReadonlyMap<string, AuthMethod>;
  #sections: SectionMap<"ingress"> = new Map();
  #takesTokens = false;

  constructor(methods: readonly AuthMethod[]) {
    this.#methods = methods;
    this.#disputing = methods.filter(({ contradicts }) => contradicts !== undefined);
    this.#byName = new Map(methods.map((method) => [method.name, method]));
  }

  configure(sections: SectionMap<"ingress">): void {
    for (const method of this.#methods) method.configure(sections);
    this.#takesTokens = [...sections.values()].some(({ oauth2 }) => oauth2.length > 0);
    this.#sections = sections;
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
  authenticate(request: IncomingMessage): Principal | Promise<Principal> {
    const found = this.#ask(request);
    return found instanceof Promise
      ? found.then((principal) => this.#undisputed(request, principal))
      : this.#undisputed(request, found);
  }

  #ask(request: IncomingMessage, first = 0): Principal | Promise<Principal> {
    for (let at = first; at < this.#methods.length; at++) {
      const found = this.#methods[at]?.authenticate(request);
      if (found instanceof Promise) return found.then((principal) => principal ?? this.#ask(request, at + 1));
      if (found !== undefined) return found;
    }
    throw this.unknown();
  }

  /** What they are told of whom nothing says who they are. */
  unknown(): Fault {
    const orToken = this.#takesTokens ? ", or a valid access token as the latter" : "";
    return new Fault("unauthorized", `send a valid API key in x-agent-api-key or as Authorization: Bearer${orToken}`);
  }

  #undisputed(request: IncomingMessage, principal: Principal): Principal | Promise<Principal> {
    for (const method of this.#disputing) if (method.contradicts?.(request, principal) === true) throw ofDifferent();
    const { headers } = request;
    return headers.authorization !== undefined &&
      bearer.test(headers.authorization) &&
      showsKey(headers, this.#sections.get(principal.tenant))
      ? this.#agreed(request, principal)
      : principal;
  }

  /** A token and a key must each be good by itself, and of the same agent. */
  async #agreed({ headers, socket }: IncomingMessage, principal: Principal): Promise<Principal> {
    const { authorization, ...others } = headers;
    const each = [{ authorization }, others].map(
      async (shown) => await this.#ask({ headers: shown, socket } as IncomingMessage),
    );
    for (const found of await Promise.all(each)) if (!isSameAgent(found, principal)) throw ofDifferent();
    return principal;
  }

  /** Whether the credential that this principal came with is good still. */
  knows(principal: Principal, now: number): boolean {
    const { expiresAtMs } = principal;
    if (expiresAtMs !== undefined && expiresAtMs <= now) return false;
    return this.#byName.get(principal.method)?.knows(principal) === true;
  }
}

function ofDifferent(): Fault {
  return new Fault("unauthorized", "the request shows credentials of different agents");
}
