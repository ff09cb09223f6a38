import type { CredentialListener, HeldCredential, SectionMap } from "@sluice/bus";
import type { Agent, Credential, CredentialKind } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import type { Principal } from "../tenants.ts";
import { neededBy, type NeededScopes } from "./token-rule.ts";

export interface IssuedOptions {
  readonly log: Log;
  /** Called soon after credentials that were good may be so no more. */
  readonly changed: () => void;
  readonly clock?: () => number;
}

interface Entry {
  readonly credential: Credential;
  /** Undefined where its tenant or agent is not known, or the tenant takes no keys. */
  readonly principal: Principal | undefined;
}

interface KnownTenant {
  readonly takesKeys: boolean;
  readonly agents: ReadonlyMap<string, Agent>;
  /** What its OAuth methods together want of a credential that has scopes. */
  readonly neededScopes: NeededScopes;
}

const sweepMs = 1_000;
const methods: Record<CredentialKind, string> = { key: "apiKey", token: "gatewayToken" };

/** The keys and tokens that control made, as far as this replica has heard of them. */
export class Issued implements CredentialListener, Disposable {
  readonly #options: IssuedOptions;
  readonly #clock: () => number;
  #tenants = new Map<string, KnownTenant>();
  #credentials = new Map<string, Credential>();
  #byHash = new Map<string, Entry>();
  #nextExpiryMs = Infinity;
  #told: NodeJS.Immediate | undefined;
  #sweep: NodeJS.Timeout | undefined;

  constructor(options: IssuedOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep);
    clearImmediate(this.#told);
  }

  /** Whom a credential with this hash stands for; undefined where it is not good. */
  find(kind: CredentialKind, hash: string): Principal | undefined {
    const entry = this.#byHash.get(hash);
    if (entry === undefined || entry.credential.kind !== kind) return undefined;
    const { expiresAtMs } = entry.credential;
    return expiresAtMs !== undefined && expiresAtMs <= this.#clock() ? undefined : entry.principal;
  }

  configure(sections: SectionMap<"ingress">): void {
    this.#tenants = new Map(
      [...sections].map(([tenant, { keyHeaders, keys, agents, oauth2 }]) => {
        const all = [...Object.values(keys), ...agents].map((agent) => [agent.id, agent] as const);
        const needed = oauth2.map(neededBy);
        const neededScopes = { mcp: needed.flatMap(({ mcp }) => mcp), a2a: needed.flatMap(({ a2a }) => a2a) };
        return [tenant, { takesKeys: keyHeaders.length > 0, agents: new Map(all), neededScopes }];
      }),
    );
    this.#index();
  }

  all(held: ReadonlyMap<string, HeldCredential>): void {
    this.#sweep ??= setInterval(() => this.dropExpired(), sweepMs).unref();
    this.#credentials = new Map([...held].map(([id, { credential }]) => [id, credential]));
    this.#index();
    this.#tell();
  }

  changed({ credential }: HeldCredential): void {
    const before = this.#credentials.get(credential.id);
    if (before !== undefined) this.#byHash.delete(before.hash);
    this.#credentials.set(credential.id, credential);
    this.#add(credential);
    if (before !== undefined) this.#tell();
  }

  removed(id: string): void {
    const credential = this.#credentials.get(id);
    if (credential === undefined) return;
    this.#credentials.delete(id);
    this.#byHash.delete(credential.hash);
    this.#tell();
  }

  unreadable(key: string): void {
    this.#options.log.error({ key }, "an entry of the credential store is none and counts for nothing");
  }

  /** What is done with a credential ends with it, also where its end was moved. */
  dropExpired(): void {
    const now = this.#clock();
    if (now < this.#nextExpiryMs) return;
    this.#nextExpiryMs = Infinity;
    for (const { id, expiresAtMs = Infinity } of this.#credentials.values()) {
      if (expiresAtMs <= now) this.removed(id);
      else this.#nextExpiryMs = Math.min(this.#nextExpiryMs, expiresAtMs);
    }
  }

  #index(): void {
    this.#byHash = new Map();
    for (const credential of this.#credentials.values()) this.#add(credential);
  }

  #add(credential: Credential): void {
    this.#byHash.set(credential.hash, { credential, principal: this.#principalOf(credential) });
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, credential.expiresAtMs ?? Infinity);
  }

  #principalOf({ kind, tenant, agent, listed, hash, scopes, user, expiresAtMs }: Credential): Principal | undefined {
    const known = this.#tenants.get(tenant);
    const who = listed ? known?.agents.get(agent.id) : agent;
    if (known === undefined || who === undefined || (kind === "key" && !known.takesKeys)) return undefined;
    return {
      tenant,
      agent: who,
      method: methods[kind],
      credential: hash,
      ...(scopes !== undefined && { scopes, neededScopes: known.neededScopes }),
      ...(user !== undefined && { user }),
      ...(expiresAtMs !== undefined && { expiresAtMs }),
    };
  }

  #tell(): void {
    this.#told ??= setImmediate(() => {
      this.#told = undefined;
      this.#options.changed();
    });
  }
}
