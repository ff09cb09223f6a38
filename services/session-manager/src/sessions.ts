import type { KeptSession } from "@sluice/contracts";

/** Whose a legacy session is: only this agent of this tenant may use it, and only with this server. */
export interface Owner {
  readonly tenant: string;
  readonly agent: string;
  readonly server: string;
}

export interface Claim extends Owner {
  /** The name of the id that the client sent. */
  readonly session: string;
}

/** Legacy MCP sessions (MCP 2025-11-25, Streamable HTTP, Session Management), each forgotten when it was not used for a while. */
export interface Sessions {
  /** Resolves to a new id for the client, which nobody can guess. */
  create(owner: Owner, kept: KeptSession): Promise<string>;
  /**
   * What is kept for each claim, in order; nothing for unknown, expired and someone else's alike. A session that was found lives on;
   * a claim that fails changes nothing.
   */
  find(claims: readonly Claim[]): Promise<readonly (KeptSession | undefined)[]>;
  /** Replaces what is kept, where the claim holds; false where it does not. */
  update(claim: Claim, upstreamSession: string): Promise<boolean>;
  /** Ends the session of this name. */
  end(session: string): Promise<void>;
}
