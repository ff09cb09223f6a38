import { personalColumns } from "@sluice/contracts";
import { commitmentOf } from "./leaf.ts";
import type { Problem, Problems } from "./problem.ts";
import type { Row, TrailSnapshot } from "./trail-database.ts";

/** What is said of parts that this login may not read. */
export type Unread = readonly string[];

/** Compares what is kept beside the events with the commitments in them. */
export async function checkBeside(
  snapshot: TrailSnapshot,
  problems: Problems,
  log: string | undefined,
): Promise<Unread> {
  const unread: string[] = [];
  const subjects = await snapshot.allowed(() => checkSubjects(snapshot, problems, log));
  if (subjects === undefined) unread.push("audit_subjects");
  for (const kept of keptParts) {
    const isRead = await snapshot.allowed(() => checkKept(snapshot, problems, { ...kept, log }));
    if (isRead === undefined) unread.push(kept.table);
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
