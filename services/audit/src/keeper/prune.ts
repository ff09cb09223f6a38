import type { PoolClient } from "pg";
import { lockLog, people, sizeOf, transaction } from "./keeper.ts";

/** Leaves `from` to `to` - 1 of a log. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

const tileWidth = 256;
/** Removed under one action of the trail. */
const mostTiles = 64;

/**
 * What may go of a log: from its front whole tiles whose hashes are kept, which a signed checkpoint covers, and all of whose
 * events are older. At most `mostTiles` of them.
 */
export async function prunable(client: PoolClient, log: string, before: Date): Promise<Range | undefined> {
  const { rows } = await client.query<{ tile: string; isOld: boolean | null }>(
    `with bounds as (
       select (select min(leaf_index) / ${tileWidth} from audit_events where log = $1) as first,
              (select max(size) / ${tileWidth} from audit_checkpoints where log = $1) as covered)
     select tile_index as tile, (
         select max(at) < $2 from audit_events
         where log = $1 and leaf_index >= tile_index * ${tileWidth} and leaf_index < (tile_index + 1) * ${tileWidth}
       ) as "isOld"
     from bounds join audit_tiles on log = $1 and level = 0 and tile_index >= first and tile_index < covered
     order by tile_index limit ${mostTiles}`,
    [log, before],
  );
  const first = Number(rows[0]?.tile);
  const end = rows.findIndex(({ tile, isOld }, index) => isOld !== true || Number(tile) !== first + index);
  const count = end === -1 ? rows.length : end;
  return count === 0 ? undefined : { from: first * tileWidth, to: (first + count) * tileWidth };
}

/** Removes events with what was kept beside them. @returns how many events */
export async function prune(client: PoolClient, log: string, { from, to }: Range): Promise<number> {
  const { rows } = await client.query<{ events: string }>(
    `with gone as (delete from audit_events where log = $1 and leaf_index >= $2 and leaf_index < $3 returning event_id),
       captured as (delete from audit_captured using gone where audit_captured.event_id = gone.event_id),
       content as (delete from audit_content using gone where audit_content.event_id = gone.event_id)
     select count(*) as events from gone`,
    [log, from, to],
  );
  return Number(rows[0]?.events);
}

/** Forgets whom no event of the log speaks of any more. @returns how many */
export async function forgetUnused(client: PoolClient, log: string): Promise<number> {
  const size = await sizeOf(client, log);
  const unused = await client.query<{ commitment: Buffer }>(
    `select commitment from audit_subjects where log = $1
     except select said from audit_events, unnest(array[${people}]) as said where log = $1`,
    [log],
  );
  if (unused.rows.length === 0) return 0;
  return transaction(client, async () => {
    await client.query(lockLog, [log]);
    // The writer may have stored events since: what they speak of stays.
    const { rowCount } = await client.query(
      `delete from audit_subjects where log = $1 and commitment = any($2) and not exists (
         select from audit_events where log = $1 and leaf_index >= $3 and commitment in (${people}))`,
      [log, unused.rows.map(({ commitment }) => commitment), size],
    );
    return rowCount ?? 0;
  });
}
