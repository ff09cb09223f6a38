import { hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { isCredentialText } from "@sluice/contracts";
import { isSameAgent, type Principal } from "../tenants.ts";
import { InvalidCredential } from "./asked-credentials.ts";
import type { AuthContext, AuthMethod } from "./auth-method.ts";
import { bearerOf } from "./bearer.ts";
import type { Issued } from "./issued.ts";

export const longestKey = 512;
const none: ReadonlySet<string> = new Set();

/**
 * API keys in the tenant's header (`x-agent-api-key`) or as a bearer token. A key in a header that only other tenants use for
 * keys counts for nothing; beside a key of somebody else, or a wrong one in a header of its tenant, it speaks for nobody.
 * Only SHA-256 hashes are known; looking one up takes time that depends on the hash alone, from which a key cannot be
 * approached step by step.
 */
class ApiKeys implements AuthMethod {
  readonly name = "apiKey";
  /** Keys of the key store, beside those of the configuration. */
  readonly #issued: Issued;
  #keys = new Map<string, Principal>();
  /** The headers in which tenants expect keys, in lower case: of each, and of any. */
  #headersOf = new Map<string, ReadonlySet<string>>();
  #headers = none;

  constructor(issued: Issued) {
    this.#issued = issued;
  }

  configure(sections: SectionMap<"ingress">): void {
    const method = this.name;
    this.#keys = new Map(
      [...sections].flatMap(([tenant, { keys }]) =>
        Object.entries(keys).map(([credential, agent]) => [credential, { tenant, agent, method, credential }]),
      ),
    );
    this.#headersOf = new Map([...sections].map(([tenant, { keyHeaders }]) => [tenant, new Set(keyHeaders)]));
    this.#headers = new Set([...this.#headersOf.values()].flatMap((names) => [...names]));
  }

  authenticate({ headers }: Pick<IncomingMessage, "headers">): Principal | undefined {
    const found: Principal[] = [];
    for (const name in headers) {
      if (!this.#headers.has(name)) continue;
      const principal = this.#find(headers[name]);
      if (principal !== undefined && this.#headersFor(principal).has(name)) found.push(principal);
    }
    const byToken = this.#find(bearerOf(headers));
    const first = found[0] ?? byToken;
    if (first === undefined) return this.#refuseOwn(headers);
    const own = [...this.#headersFor(first)].filter((name) => headers[name] !== undefined);
    const agrees = (other: Principal) => isSameAgent(other, first);
    return own.length === found.length && found.every(agrees) && (byToken === undefined || agrees(byToken))
      ? first
      : undefined;
  }

  knows(principal: Principal): boolean {
    return isSameAgent(this.#byHash(principal.credential), principal);
  }

  #headersFor({ tenant }: Principal): ReadonlySet<string> {
    return this.#headersOf.get(tenant) ?? none;
  }

  #find(key: string | string[] | undefined): Principal | undefined {
    if (typeof key !== "string" || key.length === 0 || key.length > longestKey) return undefined;
    return this.#byHash(hash("sha256", key, "hex"));
  }

  #byHash(keyHash: string): Principal | undefined {
    return this.#keys.get(keyHash) ?? this.#issued.find("key", keyHash);
  }

  /** A key that Sluice made and that is not good any more is shown to nobody else. */
  #refuseOwn(headers: IncomingMessage["headers"]): undefined {
    const shown = [bearerOf(headers), ...[...this.#headers].map((name) => headers[name])];
    if (shown.some((text) => typeof text === "string" && isCredentialText("key", text))) throw new InvalidCredential();
  }
}

export const apiKey = ({ issued }: Pick<AuthContext, "issued">): AuthMethod => new ApiKeys(issued);
