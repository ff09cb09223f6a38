import type { SectionMap } from "@sluice/bus";
import {
  allServers,
  Fault,
  type Agent,
  type IngressSection,
  type MethodSection,
  type Protocol,
} from "@sluice/contracts";
import type { Authentication } from "./auth/authentication.ts";
import { Uses, type Use } from "./uses.ts";

/** Who calls, after authentication. */
export interface Principal {
  readonly tenant: string;
  readonly agent: Agent;
  /** The authentication method (`AuthMethod.name`), for the audit trail. */
  readonly method: string;
  /** Stands for what was shown: a SHA-256 in hex, of a key, token or certificate. */
  readonly credential: string;
  readonly scopes?: readonly string[];
  /** Who vouches for it: the issuer of a token. */
  readonly issuer?: string;
  /** On whose behalf the agent acts, as its token says. */
  readonly user?: string;
  /** Unix milliseconds; what is done with the credential ends then. */
  readonly expiresAtMs?: number;
  /** Whether it may be no good any more without anybody telling: then its method is asked each second while it is used. */
  readonly isPerishable?: boolean;
  /** Scopes that its method wants, by protocol. */
  readonly neededScopes?: Readonly<Partial<Record<Protocol, readonly string[]>>>;
  /** The servers and agents that the credential is for, as `reachOf` names them; all where it is absent. */
  readonly servers?: readonly string[];
}

/** Whether two credentials speak for the same agent; nobody is the same as anybody. */
export function isSameAgent(
  one: Pick<Principal, "tenant" | "agent"> | undefined,
  other: Pick<Principal, "tenant" | "agent">,
): boolean {
  return one !== undefined && one.tenant === other.tenant && one.agent.id === other.agent.id;
}

/** What ingress knows of the tenants; replaced as a whole at each change. */
export class Tenants {
  readonly #authentication: Authentication;
  readonly #clock: () => number;
  #sections: SectionMap<"ingress"> = new Map();
  #version = 0;
  readonly #uses: Uses;

  constructor(authentication: Authentication, clock = Date.now) {
    this.#authentication = authentication;
    this.#clock = clock;
    this.#uses = new Uses((use) => this.allows(use) && !this.isSwitchedOff(use.principal, use.protocol));
  }

  configure(sections: SectionMap<"ingress">): void {
    this.#version = Math.max(0, ...[...sections.values()].map(({ version }) => version));
    this.#sections = sections;
    this.#authentication.configure(sections);
    this.reconsider();
  }

  /** Ends what is done by those who may do it no more. */
  reconsider(): void {
    this.#uses.reconsider();
  }

  /** Whether the tenant's use of a protocol was switched off: policy says so to whoever calls then, and what was begun before ends. */
  isSwitchedOff({ tenant }: Principal, protocol: Protocol): boolean {
    const section = this.#sections.get(tenant);
    return (protocol === "mcp" ? section?.mcpEnabled : section?.a2aEnabled) === false;
  }

  /** Whether who came so may still come so: with this credential, to this server or agent. */
  allows({ principal, protocol, server }: Use): boolean {
    const section = this.#sections.get(principal.tenant);
    const servers = (protocol === "mcp" ? section?.servers : section?.agentEndpoints) ?? [];
    const isServed = server === allServers ? servers.length > 0 : servers.some(({ name }) => name === server);
    return isServed && this.knows(principal);
  }

  /**
   * Calls `end` when the credential or the server is taken away or the credential expires, until the function that it
   * gives back is called.
   * @throws Fault `unauthorized` where that has happened since the principal came.
   */
  whenWithdrawn(use: Use, end: () => void): () => void {
    if (!this.allows(use)) throw withdrawn();
    return this.#uses.add(use, end);
  }

  /** The newest version among the tenants; 0 where there is none. */
  get version(): number {
    return this.#version;
  }

  find(tenant: string): IngressSection | undefined {
    return this.#sections.get(tenant);
  }

  /** @throws Fault `not_found` */
  require(tenant: string): IngressSection {
    const section = this.find(tenant);
    if (section === undefined) throw noSuchServer();
    return section;
  }

  /** Header fields in which keys are shown, of all tenants. */
  get keyHeaders(): readonly string[] {
    return [...new Set([...this.#sections.values()].flatMap(({ keyHeaders }) => keyHeaders))];
  }

  /** The agents of this name, one of each tenant that has it; without a name, each tenant's default where that is for everybody. */
  agentsCalled(name: string | undefined): readonly { tenant: string; agent: string; isPublic: boolean }[] {
    return [...this.#sections].flatMap(([tenant, { agentEndpoints, a2aEnabled }]) => {
      if (a2aEnabled === false) return [];
      if (name === undefined && !agentEndpoints.some(({ publicCard }) => publicCard)) return [];
      const found = name === undefined ? agentEndpoints[0] : agentEndpoints.find((one) => one.name === name);
      return found === undefined ? [] : [{ tenant, agent: found.name, isPublic: found.publicCard }];
    });
  }

  /** What of the HTTP methods is left to the tenant; undefined where that is all. */
  methodsOf({ tenant }: Principal): MethodSection | undefined {
    return this.#sections.get(tenant)?.methods;
  }

  /** Whether the credential that this principal came with is good still. */
  knows(principal: Principal): boolean {
    return this.#authentication.knows(principal, this.#clock());
  }
}

/** @param what of servers there are none */
export function noSuchServer(what = "no such server"): Fault {
  return new Fault("not_found", `this tenant has ${what}`);
}

/** Said of an agent that there is none of, and of one that a caller may not know of. */
export function noSuchAgent(): Fault {
  return noSuchServer("no such agent");
}

export function withdrawn(): Fault {
  return new Fault("unauthorized", "what the request authenticated with is not valid any more");
}
