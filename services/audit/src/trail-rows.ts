import type { ClientBase } from "pg";

/** A row of `audit_events` as Postgres gives it: by column, what is absent is null. Commitments and hashes are bytes, times have milliseconds. */
export interface TrailRow {
  readonly event_id: string;
  readonly log: string;
  readonly leaf_index: string;
  readonly kind: string;
  readonly call: string | null;
  readonly at: Date;
  readonly stored_at: Date;
  readonly [column: string]: unknown;
}

export interface RowsRange {
  readonly log: string;
  /** Leaf indices: the first, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  readonly limit: number;
}

/**
 * A record of a call belongs to the later one of its two events. Mostly that is the outcome; where an intent had to be sent again
 * it may be the intent.
 */
const completing = `
  select * from audit_events as event
  where log = $1 and leaf_index >= $2 and leaf_index < $3 and (
    kind in ('outcome', 'unknown', 'action', 'stream', 'refusals', 'emitter')
    or kind = 'intent' and exists (
      select from audit_events as outcome
      where outcome.event_id = event.call || '.o' and outcome.log = event.log and outcome.leaf_index < event.leaf_index
    )
  )
  order by leaf_index limit $4`;

/** Events of one log that complete a record, in the order of the log. Content and intents without their outcome are none. */
export async function readCompleting(client: ClientBase, { log, from, to, limit }: RowsRange): Promise<TrailRow[]> {
  const { rows } = await client.query<TrailRow>({
    name: "audit-completing",
    text: completing,
    values: [log, from, to, limit],
  });
  return rows;
}

/** Event id → event, of those that are stored. */
export async function readByIds(client: ClientBase, ids: readonly string[]): Promise<ReadonlyMap<string, TrailRow>> {
  if (ids.length === 0) return new Map();
  const { rows } = await client.query<TrailRow>({
    name: "audit-by-ids",
    text: "select * from audit_events where event_id = any($1)",
    values: [ids],
  });
  return new Map(rows.map((row) => [row.event_id, row]));
}

/** Commitment (hex) → what it stands for; those of who was forgotten are missing. */
export async function readSubjects(
  client: ClientBase,
  commitments: readonly Buffer[],
): Promise<ReadonlyMap<string, string>> {
  if (commitments.length === 0) return new Map();
  const { rows } = await client.query<{ commitment: Buffer; value: string }>({
    name: "audit-subjects",
    text: "select commitment, value from audit_subjects where commitment = any($1)",
    values: [commitments],
  });
  return new Map(rows.map(({ commitment, value }) => [commitment.toString("hex"), value]));
}

/** Event id → captured fields. */
export async function readCaptured(
  client: ClientBase,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  if (ids.length === 0) return new Map();
  const { rows } = await client.query<{ event_id: string; fields: Record<string, unknown> }>({
    name: "audit-captured",
    text: "select event_id, fields from audit_captured where event_id = any($1)",
    values: [ids],
  });
  return new Map(rows.map(({ event_id, fields }) => [event_id, fields]));
}
