import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import type { SectionMap } from "@sluice/bus";
import { isSameAgent, type Principal } from "../tenants.ts";
import type { AuthContext, AuthMethod, AuthProblem } from "./auth-method.ts";
import { CertificateRealm } from "./certificate-realm.ts";
import { presentedBy, type Presented } from "./certificate-path.ts";
import { FurtherAuthorities } from "./further-authorities.ts";
import { showsKey } from "./key-headers.ts";

/** What a connection showed, and who that was at the last look. */
interface Shown {
  readonly presented: Presented | undefined;
  version: number;
  principal: Principal | undefined;
  /** Unix milliseconds: its certificate or a revocation list runs out then. */
  holdsUntilMs: number;
}

const name = "mtls";
const mostStrangers = 100;

/**
 * Client certificates. A certificate speaks for an agent where an authority of that agent's tenant vouches for it, and nobody
 * where two tenants would take it. Beside a credential in a header it speaks only if that speaks for the same agent.
 */
class ClientCertificates implements AuthMethod {
  readonly name = name;
  readonly #context: AuthContext;
  readonly #connections = new WeakMap<TLSSocket, Shown>();
  readonly #shownBy = new WeakMap<Principal, Shown>();
  readonly #further: FurtherAuthorities;
  readonly #strangers = new Set<string>();
  #realms: CertificateRealm[] = [];
  #sections: SectionMap<"ingress"> = new Map();
  #version = 0;

  constructor(context: AuthContext) {
    this.#context = context;
    this.#further = context.scope.use(
      new FurtherAuthorities(context, () => {
        this.#renew();
        context.changed();
      }),
    );
  }

  configure(sections: SectionMap<"ingress">): void {
    const { log, config, secrets } = this.#context;
    const before = this.#realms;
    this.#sections = sections;
    this.#realms = [...sections].flatMap(([tenant, { certificates }]) =>
      certificates.map(
        (settings) =>
          before.find((realm) => realm.isOf(tenant, settings)) ?? new CertificateRealm({ tenant, settings, secrets }),
      ),
    );
    if (this.#realms.length > 0 && config.TLS_CERT_FILE === undefined)
      log.warn("tenants want client certificates, and TLS_CERT_FILE is not set: nobody can show one");
    this.#renew();
  }

  get problems(): readonly AuthProblem[] {
    return this.#realms.flatMap(({ problem }) => problem ?? []);
  }

  secretChanged(): void {
    for (const realm of this.#realms) realm.load();
    this.#renew();
    this.#context.changed();
  }

  authenticate(request: Pick<IncomingMessage, "headers" | "socket">): Principal | undefined {
    const principal = this.#of(request.socket);
    return principal !== undefined && this.#isAlone(request, principal) ? principal : undefined;
  }

  contradicts({ socket }: Pick<IncomingMessage, "socket">, principal: Principal): boolean {
    const shown = this.#of(socket);
    return shown !== undefined && !isSameAgent(shown, principal);
  }

  knows(principal: Principal): boolean {
    const shown = this.#shownBy.get(principal);
    if (shown === undefined) return false;
    const now = this.#look(shown);
    return isSameAgent(now, principal);
  }

  #of(socket: IncomingMessage["socket"]): Principal | undefined {
    if (this.#realms.length === 0 || !(socket instanceof TLSSocket)) return undefined;
    let shown = this.#connections.get(socket);
    if (shown === undefined) {
      shown = { presented: presentedBy(socket), version: -1, principal: undefined, holdsUntilMs: 0 };
      this.#connections.set(socket, shown);
    }
    return this.#look(shown);
  }

  #look(shown: Shown): Principal | undefined {
    if (shown.version !== this.#version) {
      const found = this.#identify(shown.presented);
      shown.principal = found?.principal;
      shown.holdsUntilMs = found?.holdsUntilMs ?? 0;
      shown.version = this.#version;
      if (shown.principal !== undefined) this.#shownBy.set(shown.principal, shown);
    }
    return shown.holdsUntilMs > Date.now() ? shown.principal : undefined;
  }

  #identify(presented: Presented | undefined): Pick<Shown, "principal" | "holdsUntilMs"> | undefined {
    if (presented === undefined) return undefined;
    const now = Date.now();
    try {
      const whole = { ...presented, others: [...presented.others, ...this.#further.certificates] };
      const found = this.#realms.flatMap((realm) => {
        const identity = realm.identify(whole, now);
        if (identity === undefined) return [];
        return [{ who: { tenant: realm.tenant, ...identity.who }, holdsUntilMs: identity.holdsUntilMs }];
      });
      const [first] = found;
      if (first === undefined) return this.#tellOf(presented);
      if (found.some(({ who }) => !isSameAgent(who, first.who))) {
        const tenants = [...new Set(found.map(({ who }) => who.tenant))];
        this.#context.log.warn({ tenants }, "a client certificate would be of several agents: it is of nobody");
        return undefined;
      }
      const credential = presented.leaf.fingerprint256.replaceAll(":", "").toLowerCase();
      return { principal: { ...first.who, method: name, credential }, holdsUntilMs: first.holdsUntilMs };
    } catch {
      return undefined;
    }
  }

  /** An operator can't see otherwise why an agent is not let in. */
  #tellOf({ leaf: { issuer } }: Presented): undefined {
    if (this.#strangers.has(issuer) || this.#strangers.size >= mostStrangers) return;
    this.#strangers.add(issuer);
    this.#context.log.warn(
      { issuer: issuer.replaceAll("\n", ", ") },
      "a verified client certificate is of no agent: no tenant's ca leads to it, or no entry of its agents fits",
    );
  }

  /** Whether nothing else in the request says who calls: by now no other method took it for a credential that is good. */
  #isAlone({ headers }: Pick<IncomingMessage, "headers">, { tenant }: Principal): boolean {
    if (headers.authorization !== undefined) return false;
    return !showsKey(headers, this.#sections.get(tenant));
  }

  /** Everybody is looked at again, and connections made from now on are asked for certificates of these authorities. */
  #renew(): void {
    this.#version++;
    const pems = this.#realms.flatMap((realm) => realm.pems);
    this.#context.authorities.set(pems.length === 0 ? [] : [...new Set([...pems, ...this.#further.pems])]);
  }
}

export const mtls = (context: AuthContext): AuthMethod => new ClientCertificates(context);
