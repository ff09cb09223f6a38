import { mostBytesPerPage, type PageQuestion, type TrailPage, type TrailRow } from "@sluice/contracts";
import type { ClientBase } from "pg";
import { cursorOf } from "./cursor.ts";
import { readTrail, type PlacedRow } from "./read.ts";

/** A row is at most some megabytes, where a call and its answer have large captured fields. */
const chunkRows = 25;

/**
 * One page of a view, bounded by rows and by bytes of JSON. Rows that come meanwhile move none to another page.
 * @throws Fault as `readTrail`
 */
export async function readPage(
  client: ClientBase,
  { view, filter, paging }: PageQuestion,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<TrailPage> {
  const { limit, order, cursor } = paging;
  const rows: TrailRow[] = [];
  let bytes = 0;
  let last: PlacedRow | undefined;
  const query = { view, filter, order, limit: limit + 1, ...(cursor !== undefined && { cursor }) };
  for await (const chunk of readTrail(client, query, { timeoutMs, chunkRows })) {
    for (const placed of chunk) {
      const row = bounded(placed.row);
      bytes += sizeOf(row);
      if (rows.length === limit || (bytes > mostBytesPerPage && last !== undefined))
        return { rows, ...(last !== undefined && { next: cursorOf(last.place) }) };
      rows.push(row);
      last = placed;
    }
  }
  return { rows };
}

/** A row that no page holds is told without its captured fields, and how many bytes they have. */
export function bounded(row: TrailRow): TrailRow {
  const { captured } = row;
  if (captured === undefined || captured === null || sizeOf(row) <= mostBytesPerPage) return row;
  return { ...row, captured: null, captured_bytes: sizeOf(captured) };
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
