import { Fault, type Paging, type TrailFilter, type TrailRow, type TrailView } from "@sluice/contracts";
import pg, { type ClientBase } from "pg";
import { placeOf, type Place } from "./cursor.ts";
import { selections, type Selection } from "./views.ts";

export interface TrailQuery<View extends TrailView = TrailView> {
  readonly view: View;
  readonly filter: TrailFilter[View];
  readonly order: Paging["order"];
  readonly cursor?: string | undefined;
  /** All unless said. */
  readonly limit?: number;
}

/** A row of a view, and its place there. */
export interface PlacedRow {
  readonly place: Place;
  readonly row: TrailRow;
}

export interface ReadOptions {
  /** Of one statement: at the start of the search and at each chunk. 0: as long as it takes. */
  readonly timeoutMs: number;
  /** Rows that are in memory at once. */
  readonly chunkRows: number;
}

/**
 * Reads what fits, in one read-only snapshot and a chunk at a time, however much it is.
 * @throws Fault `invalid_request` for a bad cursor, `overloaded` where it takes too long, `unavailable` where there is nothing to be read
 */
export async function* readTrail<View extends TrailView>(
  client: ClientBase,
  query: TrailQuery<View>,
  { timeoutMs, chunkRows }: ReadOptions,
): AsyncGenerator<readonly PlacedRow[]> {
  await client.query("begin transaction isolation level repeatable read read only");
  try {
    await client.query(`set local statement_timeout = ${Math.trunc(timeoutMs)}`);
    const selection = await selections[query.view](client, query.filter);
    const { text, values } = statementOf(selection, query);
    await client.query({ text: `declare trail no scroll cursor for ${text}`, values });
    const fetch = { text: `fetch ${Math.trunc(chunkRows)} from trail`, types };
    for (;;) {
      const { rows } = await client.query<Record<string, unknown>>(fetch);
      if (rows.length > 0) yield rows.map(placed);
      if (rows.length < chunkRows) return;
    }
  } catch (error) {
    throw faultOf(error);
  } finally {
    await client.query("rollback").catch(() => {});
  }
}

/** The rows are chosen by index first, and only then put together from all that belongs to them, one by one. */
function statementOf(
  { from, conditions, id, rows, key }: Selection,
  { order, cursor, limit }: TrailQuery,
): { text: string; values: unknown[] } {
  const [direction, beyond] = order === "newest" ? (["desc", "<"] as const) : (["asc", ">"] as const);
  if (cursor !== undefined) {
    const { atMicros, id: last } = placeOf(cursor);
    conditions.add(
      `(first.at, ${id}) ${beyond} (timestamptz 'epoch' + ?::bigint * interval '1 microsecond', ?)`,
      atMicros,
      last,
    );
  }
  const where = conditions.text === "" ? "true" : conditions.text;
  const bound = limit === undefined ? "" : `limit ${conditions.value(limit)}`;
  const columns = Object.entries(key);
  const text = `
    select (extract(epoch from page.place_at) * 1000000)::bigint::text as place_at, page.place_id, shown.*
    from (
      select first.at as place_at, ${id} as place_id, ${columns.map(([name, of]) => `${of} as key_${name}`).join(", ")}
      from ${from} where ${where}
      order by first.at ${direction}, ${id} ${direction} ${bound}
    ) as page
    cross join lateral (
      select * from ${rows} as shown where ${columns.map(([name]) => `shown.${name} = page.key_${name}`).join(" and ")} limit 1
    ) as shown
    order by page.place_at ${direction}, page.place_id ${direction}`;
  return { text, values: conditions.values };
}

function placed({ place_at: atMicros, place_id: id, ...row }: Record<string, unknown>): PlacedRow {
  return { place: { atMicros: String(atMicros), id: String(id) }, row: plain(row) };
}

/** A row as JSON has it. */
export function plain(row: Readonly<Record<string, unknown>>): TrailRow {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString("hex");
  return value instanceof Date ? value.toISOString() : value;
}

/** Counts of bytes and events are far below what a number holds exactly. */
export const types: pg.CustomTypesConfig = {
  getTypeParser: (id, format) =>
    (id as number) === (pg.types.builtins.INT8 as number) ? Number : (pg.types.getTypeParser(id, format) as never),
};

/** PostgreSQL error codes. */
const [cancelled, undefinedTable, undefinedColumn, noPrivilege] = ["57014", "42P01", "42703", "42501"];

/** What a failure of Postgres means to who reads the trail. */
export function faultOf(error: unknown): unknown {
  const code = (error as { code?: string }).code;
  if (code === cancelled)
    return new Fault("overloaded", "this takes too long to find: ask for one tenant, a shorter time or an agent", {
      cause: error,
    });
  if (code === undefinedTable || code === undefinedColumn)
    return new Fault(
      "unavailable",
      "the database has no audit trail, or that of another Sluice: see sluice audit migrate",
      {
        cause: error,
      },
    );
  if (code === noPrivilege)
    return new Fault("unavailable", "this login of the database may not read the audit trail", { cause: error });
  return error;
}
