import { personalColumns, type TrailEntry } from "@sluice/contracts";
import type { CustomTypesConfig, QueryConfig } from "pg";

/** A client of `pg`, or anything that has its connection. */
export interface Queries {
  query<Row extends object>(query: QueryConfig): Promise<{ rows: Row[] }>;
}

/** Which of a log's entries, in the order of the log. */
export interface EntryRange {
  readonly log: string;
  /** The first index that counts. */
  readonly from: number;
  readonly limit: number;
  /** Leaves what was captured of calls sealed. */
  readonly withoutCaptured?: boolean;
}

/** Columns of the row that are no part of its record. */
const placeColumns = new Set(["leaf_index", "leaf_hash"]);
const unveiled = "unveiled:";

/** Reads entries of one log, the lowest index first; indices are missing only where retention removed them. */
export async function readEntries(
  queries: Queries,
  { log, from, limit, withoutCaptured }: EntryRange,
): Promise<TrailEntry[]> {
  const text = `select ${entryColumns} from audit_events as event ${entryJoins}
    where event.log = $1 and event.leaf_index >= $2 order by event.leaf_index limit $3`;
  const { rows } = await queries.query<EntryRow>({
    name: "trail-entries",
    text,
    values: [log, from, limit],
    types: entryTypes,
  });
  const hidden = { [salt("captured")]: null };
  return rows.map((row) => entryOf(withoutCaptured === true ? { ...row, ...hidden } : row));
}

const value = (column: string) => `${unveiled}${column}:value`;
const salt = (column: string) => `${unveiled}${column}:salt`;

/** For a query of one's own: what to select of `audit_events as event` with `entryJoins`, for `entryOf`; run it with `entryTypes`. */
export const entryColumns = [
  "event.*",
  ...personalColumns.flatMap((column) => [
    `${column}_said.value as "${value(column)}"`,
    `${column}_said.salt as "${salt(column)}"`,
  ]),
  // Columns of the same name that come later are those that count.
  "to_json(event.scopes) as scopes",
  `captured_said.fields as "${value("captured")}"`,
  `captured_said.salt as "${salt("captured")}"`,
].join(", ");

export const entryJoins = [
  ...personalColumns.map(
    (column) => `left join audit_subjects as ${column}_said on ${column}_said.commitment = event.${column}`,
  ),
  "left join audit_captured as captured_said on captured_said.event_id = event.event_id",
].join(" ");

/** A row of such a query, read with `entryTypes`. */
export type EntryRow = Readonly<Record<string, unknown>>;

/** What compliance gets of a row; what was erased of it stands as its commitment, and so does what was said, which is nobody's here. */
export function entryOf(row: EntryRow): TrailEntry {
  const event: Record<string, unknown> = {};
  const sealed: Record<string, { salt: string } | { commitment: string }> = {};
  for (const [column, said] of Object.entries(row)) {
    if (said === null || column.startsWith(unveiled) || placeColumns.has(column)) continue;
    if (!sealedColumns.has(column)) event[column] = said;
    else if (typeof row[salt(column)] !== "string") sealed[column] = { commitment: said as string };
    else {
      event[column] = row[value(column)];
      sealed[column] = { salt: row[salt(column)] as string };
    }
  }
  return { log: row["log"] as string, index: row["leaf_index"] as number, event, sealed };
}

const sealedColumns = new Set<string>([...personalColumns, "captured", "content"]);

/** Values as the record of a leaf has them (docs/adr/0010-audit-trail.md), by the types of their columns in Postgres. */
export const entryTypes: CustomTypesConfig = {
  getTypeParser: ((type: number) => parsers[type] ?? String) as CustomTypesConfig["getTypeParser"],
};

/** By the ids of pg_type. */
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === "t",
  17: (text) => text.slice(2),
  20: Number,
  21: Number,
  23: Number,
  114: (text): unknown => JSON.parse(text),
  701: Number,
  1184: instant,
  3802: (text): unknown => JSON.parse(text),
};

/** `2026-11-21 11:00:00.1234+01` as `2026-11-21T10:00:00.123400Z`; with milliseconds where it has no more. */
function instant(text: string): string {
  const [, day = "", time = "", fraction = "", offset = ""] =
    /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?([+-]\d\d(?::\d\d)?)$/.exec(text) ?? [];
  const seconds = new Date(`${day}T${time}${offset.length === 3 ? `${offset}:00` : offset}`);
  const digits = fraction.padEnd(6, "0");
  return `${seconds.toISOString().slice(0, -5)}.${digits.endsWith("000") ? digits.slice(0, 3) : digits}Z`;
}
