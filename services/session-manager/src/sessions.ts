import type { EndedSession, KeptSession } from "@sluice/contracts";

/** Whose a legacy session is: only this caller (`identityOf`) of this tenant may use it, and only with this server. */
export interface Owner {
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
}

export interface Claim extends Owner {
  /** The name of the id that the client sent. */
  readonly session: string;
}

export interface Created {
  readonly session: string;
  readonly ended: readonly EndedSession[];
}

export interface Change {
  readonly expected: string;
  readonly upstreamSession: string;
}

export interface Updated {
  readonly ok: boolean;
  /** Where nothing was replaced: what is kept instead; absent where the claim does not hold. */
  readonly upstreamSession?: string;
}

/** Legacy MCP sessions (MCP 2025-11-25, Streamable HTTP, Session Management), each forgotten when it was not used for a while. */
export interface Sessions {
  /**
   * Resolves to a new id for the client, which nobody can guess. A caller that has too many mediated sessions loses those
   * that were unused for longest: they are over, and what was kept of them is returned.
   */
  create(owner: Owner, kept: KeptSession): Promise<Created>;
  /**
   * What is kept for each claim, in order; nothing for unknown, expired and someone else's alike. A session that was found lives on;
   * a claim that fails changes nothing.
   */
  find(claims: readonly Claim[]): Promise<readonly (KeptSession | undefined)[]>;
  /** What is kept, where the claim holds; to look is no use. */
  look(claim: Claim): Promise<KeptSession | undefined>;
  /** Replaces what is kept, where the claim holds and what is kept is what was expected. */
  update(claim: Claim, change: Change): Promise<Updated>;
  /** Ends the session of this name. */
  end(session: string): Promise<void>;
}
