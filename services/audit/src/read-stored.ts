import { type ClientBase, escapeLiteral } from "pg";
import type { KnownHead, StoredHead } from "./edges-postgres.ts";
import type { NewEvent } from "./event-row.ts";
import type { Origin } from "./repeated.ts";
import { subjectKey } from "./sealing.ts";

/** What the store has already of some events. */
export interface Stored {
  /** By event. */
  readonly origins: Map<string, Origin>;
  readonly heads: readonly StoredHead[];
  /** By `subjectKey`. */
  readonly commitments: Map<string, Buffer>;
}

/**
 * Begins a transaction in which nobody else adds to these events' logs. All take the locks in one order, and so never wait for each
 * other. What is read afterwards is what was committed when the last lock was got.
 */
export async function lockLogs(client: ClientBase, events: readonly NewEvent[]): Promise<void> {
  const logs = logsOf(events).map(escapeLiteral).join(", ");
  await client.query(
    `begin; set local enable_seqscan = off;
    select pg_advisory_xact_lock(key) from
      (select distinct hashtextextended('sluice audit ' || log, 0) as key from unnest(array[${logs}]) as log order by key) as keys`,
  );
}

const text = `
  select
    (select json_agg(json_build_object('id', event_id, 'emitter', emitter, 'seq', seq))
     from audit_events where event_id = any($1::text[])) as events,
    (select json_agg(json_build_object('log', log, 'value', value, 'commitment', encode(commitment, 'hex')))
     from unnest($2::text[], $3::text[]) as said (log, value) join audit_subjects using (log, value)) as subjects,
    (select json_agg(json_build_object(
       'log', asked.log, 'size', coalesce(newest.size, 0), 'root', encode(newest.root, 'hex'), 'rootThen', encode(earlier.root, 'hex')))
     from unnest($4::text[], $5::bigint[]) as asked (log, size)
     left join lateral (select size, root from audit_heads where log = asked.log order by size desc limit 1) as newest on true
     left join audit_heads as earlier on earlier.log = asked.log and earlier.size = asked.size) as heads`;

interface Row {
  readonly events: readonly { readonly id: string; readonly emitter: string; readonly seq: number | null }[] | null;
  readonly subjects: readonly { readonly log: string; readonly value: string; readonly commitment: string }[] | null;
  readonly heads: readonly {
    readonly log: string;
    readonly size: number;
    readonly root: string | null;
    readonly rootThen: string | null;
  }[];
}

/** Reads all of it by one statement. @param knownOf the tree of a log that this process knows: what the store has at its size is asked for too */
export async function readStored(
  client: ClientBase,
  events: readonly NewEvent[],
  knownOf: (log: string) => KnownHead | undefined,
): Promise<Stored> {
  const logs = logsOf(events);
  const known = new Map(logs.map((log) => [log, knownOf(log)]));
  const people = new Map<string, { log: string; value: string }>();
  for (const { log, people: said } of events)
    for (const value of Object.values(said)) people.set(subjectKey(log, value), { log, value });
  const values = [
    events.map(({ id }) => id),
    [...people.values()].map(({ log }) => log),
    [...people.values()].map(({ value }) => value),
    logs,
    logs.map((log) => known.get(log)?.size ?? 0),
  ];
  const { rows } = await client.query<Row>({ name: "read-stored", text, values });
  const { events: told, subjects, heads } = rows[0] as Row;
  return {
    origins: new Map(told?.map(({ id, emitter, seq }) => [id, { emitter, seq: seq ?? undefined }])),
    commitments: new Map(
      subjects?.map(({ log, value, commitment }) => [subjectKey(log, value), Buffer.from(commitment, "hex")]),
    ),
    heads: heads.map(({ log, size, root, rootThen }) => ({
      ...{ log, size, known: known.get(log), root: bytesOf(root), rootThen: bytesOf(rootThen) },
    })),
  };
}

function bytesOf(hex: string | null): Buffer | undefined {
  return hex === null ? undefined : Buffer.from(hex, "hex");
}

function logsOf(events: readonly NewEvent[]): string[] {
  return [...new Set(events.map(({ log }) => log))];
}
