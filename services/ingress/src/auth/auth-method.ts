import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import { Fault } from "@sluice/contracts";
import type { Context } from "@sluice/runtime";
import type { IngressConfig } from "../config.ts";
import type { Principal } from "../tenants.ts";
import type { Issued } from "./issued.ts";

/** A principal, or undefined where the request does not speak to this method. A promise only where somebody else must be asked. */
export type Answered = Principal | undefined | Promise<Principal | undefined>;

/** One way to say who calls. */
export interface AuthMethod {
  /** What the audit trail calls it, and `Principal.method` of those who come by it. */
  readonly name: string;
  /** Takes what is known of the tenants, all of it at each change. */
  configure(sections: SectionMap<"ingress">): void;
  /**
   * Must not be slow or guessable; headers, and the socket for client certificates.
   * @throws Fault where the request speaks to this method, and nobody shall be asked after it
   */
  authenticate(request: IncomingMessage): Answered;
  /** Whether who came by this method may still come so. Asked for each call, so it answers from memory. */
  knows(principal: Principal): boolean;
}

/** What methods are made with. */
export interface AuthContext extends Pick<Context<IngressConfig>, "config" | "bus" | "log" | "scope"> {
  /** To be called when credentials that were good may be so no more, except in `configure`: what is done with them ends. */
  readonly changed: () => void;
  /** What control made; it knows the tenants before the methods do. */
  readonly issued: Issued;
}

/** The same for a missing, wrong or malformed credential. */
export function unauthorized(): Fault {
  return new Fault("unauthorized", "send a valid API key in x-agent-api-key or as Authorization: Bearer");
}
