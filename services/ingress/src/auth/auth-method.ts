import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import type { Reach } from "@sluice/oauth";
import type { Context } from "@sluice/runtime";
import type { ClientAuthorities } from "../client-authorities.ts";
import type { IngressConfig } from "../config.ts";
import type { Principal } from "../tenants.ts";

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
  /** Whether the request says by this method that it comes from somebody else than another method found. */
  contradicts?(request: IncomingMessage, principal: Principal): boolean;
  /** Whether who came by this method may still come so. Asked for each call, so it answers from memory. */
  knows(principal: Principal): boolean;
}

/** What methods are made with. */
export interface AuthContext extends Pick<Context<IngressConfig>, "config" | "bus" | "log" | "scope"> {
  /** Whose certificates agents are asked for. */
  readonly authorities: ClientAuthorities;
  /** Where agents reach this gateway, without a slash at its end. */
  readonly publicUrl: string | undefined;
  /** Through what a server is reached that says who calls. @throws Error where it must not be asked */
  readonly reach: Reach;
  /** The secret behind a reference. @throws Error that names the reference, never the secret */
  readonly secret: (reference: string) => string;
  /** Tells of each reference that stands for another secret than before. */
  readonly whenSecretChanges: (heed: (reference: string) => void) => void;
  /** Says what of the configuration cannot be used, and is closed: ingress does not start with it. */
  readonly complain: (problem: string) => void;
  /** To be called when credentials that were good may be so no more, except in `configure`: what is done with them ends. */
  readonly changed: () => void;
}
