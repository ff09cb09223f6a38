import type { IncomingMessage } from "node:http";
import type { SectionMap } from "@sluice/bus";
import type { Reach } from "@sluice/oauth";
import type { Context } from "@sluice/runtime";
import { SecretProblem, type Secrets } from "@sluice/secrets";
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
  /** What of the configuration cannot be used and is closed, or goes on with an older secret. */
  readonly problems?: readonly AuthProblem[];
  /** Some secret is another one now, or has come at last. */
  secretChanged?(): void;
  /** Whether who came by this method may still come so. Asked for each call, so it answers from memory. */
  knows(principal: Principal): boolean;
}

export interface AuthProblem {
  /** Whose it is and what to mend, without a secret. */
  readonly problem: string;
  /** It may pass without anybody mending anything. */
  readonly isTemporary: boolean;
}

export function authProblem(whose: string, error: unknown): AuthProblem {
  const isTemporary = error instanceof SecretProblem && error.isTemporary;
  return { problem: `${whose}: ${(error as Error).message}`, isTemporary };
}

/** What methods are made with. */
export interface AuthContext extends Pick<Context<IngressConfig>, "config" | "bus" | "log" | "scope"> {
  /** Where agents reach this gateway, without a slash at its end. */
  readonly publicUrl: string | undefined;
  /** Through what a server is reached that says who calls. @throws Error where it must not be asked */
  readonly reach: Reach;
  readonly secrets: Pick<Secrets, "value" | "again">;
  /** To be called when credentials that were good may be so no more, except in `configure`: what is done with them ends. */
  readonly changed: () => void;
  /** What control made; it knows the tenants before the methods do. */
  readonly issued: Issued;
}
