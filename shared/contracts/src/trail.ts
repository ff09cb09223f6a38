import type { z } from "zod";
import { actionSchema } from "./action.ts";
import {
  contentSchema,
  emitterSchema,
  intentSchema,
  outcomeSchema,
  refusalsSchema,
  streamEventSchema,
} from "./audit.ts";

/**
 * What services bring to the AUDIT stream beside admission messages, in batches (`TrailBatch`). `intent` is of calls that were
 * refused before anybody was asked for admission: nothing is forwarded, so nobody waits for its being stored.
 */
export const trailEventSchemas = {
  intent: intentSchema,
  outcome: outcomeSchema,
  action: actionSchema,
  stream: streamEventSchema,
  refusals: refusalsSchema,
  content: contentSchema,
  emitter: emitterSchema,
} as const;
export type TrailEventKind = keyof typeof trailEventSchemas;
export type TrailEvent = {
  [Kind in TrailEventKind]: { readonly event: Kind } & z.infer<(typeof trailEventSchemas)[Kind]>;
}[TrailEventKind];

/** On `gw.audit.v1.<service>`: `from` is the emitter whose numbers (`seq`) the events have. */
export interface TrailBatch {
  readonly from: string;
  readonly events: readonly TrailEvent[];
}

/** The log of events that are no tenant's; no tenant can have this name. */
export const gatewayLog = "_gateway";

/** Which log an event goes to. */
export function logOf(tenant: string | undefined): string {
  return tenant ?? gatewayLog;
}

/** Columns of `audit_events` that hold a commitment in place of what they say, so that a person can be forgotten. */
export const personalColumns = ["agent_id", "agent_name", "agent_owner", "auth_user", "peer"] as const;

/**
 * One stored event with what is needed to check it: a line of a verifiable export, and a message on `gw.trail.v1.<log>`.
 * `event` has the columns of its row that are not null, in plain words; docs/audit.md says how the leaf is made of it.
 */
export interface TrailEntry {
  readonly log: string;
  /** The leaf's index in the log's tree. */
  readonly index: number;
  readonly event: Readonly<Record<string, unknown>>;
  /** For each sealed column: the salt (hex) of the commitment, or the commitment itself where what it says was erased. */
  readonly sealed: Readonly<Record<string, { readonly salt: string } | { readonly commitment: string }>>;
  /** The hash (hex) of the leaf, in an export: it proves nothing, but where an event is changed it says which. */
  readonly hash?: string;
}

/** Stands for an event that retention has removed: the hash (hex) of its leaf is kept. */
export interface PrunedEntry {
  readonly log: string;
  readonly index: number;
  readonly hash: string;
}

/** A signed checkpoint (c2sp.org/tlog-checkpoint) as it is published. */
export interface Checkpoint {
  readonly log: string;
  readonly size: number;
  /** RFC 9162 root, in hex. */
  readonly root: string;
  readonly at: number;
  /** The signed note. */
  readonly note: string;
}
