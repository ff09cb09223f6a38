import { personalColumns } from "@sluice/contracts";
import { removed, removedOf, type Erasures } from "./erasures.ts";
import { commitmentOf } from "./leaf.ts";
import type { Problem, Problems } from "./problem.ts";
import type { Row, TrailSnapshot } from "./trail-database.ts";

/** What is said of parts that this login may not read. */
export type Unread = readonly string[];

export interface BesideOptions {
  readonly problems: Problems;
  /** Of the logs that were read. */
  readonly erasures: Erasures;
  /** The only log that is asked for. */
  readonly log: string | undefined;
}

/** Compares what is kept beside the events with the commitments in them. */
export async function checkBeside(
  snapshot: TrailSnapshot,
  { problems, erasures, log }: BesideOptions,
): Promise<Unread> {
  const unread: string[] = [];
  const subjects = await snapshot.allowed(() => checkSubjects(snapshot, problems, log));
  if (subjects === undefined) unread.push("audit_subjects");
  else await requirePeople(snapshot, { problems, erasures, log });
  for (const kept of keptParts) {
    const isRead = await snapshot.allowed(() => checkKept(snapshot, problems, { ...kept, log }));
    if (isRead !== undefined) await requireKept(snapshot, { problems, erasures, log }, kept);
    else if (await isKept(snapshot, kept, log)) unread.push(kept.table);
  }
  await requireLogs(snapshot, problems);
  return unread;
}

async function checkSubjects(snapshot: TrailSnapshot, problems: Problems, log: string | undefined): Promise<true> {
  const text = "select commitment, value, salt from audit_subjects where $1::text is null or log = $1";
  for await (const batch of snapshot.batches({ text, values: [log ?? null] }))
    for (const { commitment, value, salt } of batch) {
      if (commitmentOf("agent_id", value, hex(salt)).equals(hex(commitment))) continue;
      const what = `what audit_subjects says of the commitment ${String(commitment).slice(0, 12)}… was changed: value and salt do not give it`;
      const uses = await usesOf(snapshot, commitment);
      if (uses.length === 0) problems.add({ kind: "commitment", text: what });
      for (const use of uses)
        problems.add({ kind: "commitment", ...use, text: `${what}; event ${use.index} has it first` });
    }
  return true;
}

/** Who is in the events and not in audit_subjects was forgotten, which an action says. */
async function requirePeople(snapshot: TrailSnapshot, { problems, erasures, log }: BesideOptions): Promise<void> {
  const text = `select e.log, said.commitment, min(e.leaf_index) as index
    from audit_events e, unnest(array[${personalColumns.map((column) => `e.${column}`).join(", ")}]) as said (commitment)
    where said.commitment is not null and e.log is not null and ($1::text is null or e.log = $1)
      and not exists (select from audit_subjects s where s.commitment = said.commitment) group by 1, 2`;
  for await (const batch of snapshot.batches({ text, values: [log ?? null] }))
    for (const row of batch) {
      const [of, commitment] = [row["log"] as string, row["commitment"] as string];
      if (!erasures.isTold(of, commitment))
        problems.add({ kind: "erasure", log: of, index: row["index"] as number, text: removed(commitment) });
    }
}

/** Which of their calls an erasure has touched is not told: one of the log is enough. */
async function requireKept(
  snapshot: TrailSnapshot,
  { problems, erasures, log }: BesideOptions,
  { table, column }: Kept,
): Promise<void> {
  const text = `select e.log, min(e.leaf_index) as index, count(*)::int as count from audit_events e
    where e.${column} is not null and e.log is not null and ($1::text is null or e.log = $1)
      and not exists (select from ${table} k where k.event_id = e.event_id) group by 1`;
  for (const { log: of, index, count } of await snapshot.all(text, [log ?? null]))
    if (!erasures.isTold(of as string))
      problems.add({
        kind: "erasure",
        log: of as string,
        index: index as number,
        text: removedOf(column === "captured" ? "captured fields" : "content", count as number),
      });
}

/** Whether anything is to be read there. */
async function isKept(snapshot: TrailSnapshot, { column }: Kept, log: string | undefined): Promise<boolean> {
  const text = `select 1 from audit_events where ${column} is not null and ($1::text is null or log = $1) limit 1`;
  return (await snapshot.all(text, [log ?? null])).length > 0;
}

/** The first event of each log that has this commitment. */
async function usesOf(snapshot: TrailSnapshot, commitment: unknown): Promise<{ log: string; index: number }[]> {
  const any = personalColumns.map((column) => `${column} = $1`).join(" or ");
  const text = `select log, min(leaf_index) as index from audit_events where ${any} group by log order by log`;
  const rows = await snapshot.all(text, [hex(commitment)]);
  return rows.map(({ log, index }) => ({ log: log as string, index: index as number }));
}

interface Kept {
  readonly table: string;
  /** Of audit_events, with the commitment. */
  readonly column: "captured" | "content";
  readonly value: string;
}

const keptParts: readonly Kept[] = [
  { table: "audit_captured", column: "captured", value: "fields" },
  { table: "audit_content", column: "content", value: "translate(encode(data, 'base64'), E'\\n', '')" },
];

async function checkKept(
  snapshot: TrailSnapshot,
  problems: Problems,
  { table, column, value, log }: Kept & { readonly log: string | undefined },
): Promise<true> {
  const text = `select event_id, ${value} as value, salt, e.log, e.leaf_index, e.${column} as commitment
    from ${table} left join audit_events e using (event_id) where $1::text is null or e.log = $1`;
  for await (const batch of snapshot.batches({ text, values: [log ?? null], atOnce: 100 }))
    for (const row of batch) {
      const fault = faultOf(row, table, column);
      if (fault !== undefined) problems.add(fault);
    }
  return true;
}

function faultOf(row: Row, table: string, column: Kept["column"]): Problem | undefined {
  const { event_id: id, value, salt, log, leaf_index: index, commitment } = row;
  if (log === undefined)
    return { kind: "commitment", text: `${table} has something of ${String(id)}, which is no event` };
  const place = { log: log as string, index: index as number };
  if (commitment === undefined)
    return {
      kind: "commitment",
      ...place,
      text: `${table} has something of event ${place.index} (${String(id)}), which says nothing of it`,
    };
  if (commitmentOf(column, value ?? null, hex(salt)).equals(hex(commitment))) return undefined;
  return {
    kind: "commitment",
    ...place,
    text: `what ${table} has of event ${place.index} (${String(id)}) was changed: it does not give the commitment in the event`,
  };
}

async function requireLogs(snapshot: TrailSnapshot, problems: Problems): Promise<void> {
  for (const { event_id: id } of await snapshot.all("select event_id from audit_events where log is null limit 10"))
    problems.add({ kind: "outside", text: `the row ${String(id)} is in no log's tree` });
}

function hex(text: unknown): Buffer {
  return Buffer.from(text as string, "hex");
}
