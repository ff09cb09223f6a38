import type { PoolClient } from "pg";
import { lockLog, people, sizeOf, transaction } from "./keeper.ts";

/** What forgetting somebody touches: events that speak of them, and what was captured and kept of their calls. */
export interface Touched {
  readonly events: number;
  readonly captured: number;
  readonly content: number;
}

export interface Found extends Touched {
  /** In hex; stands for the person in the log, now and afterwards. */
  readonly commitment: string;
}

/** The events of the person's own calls, and all others that speak of them; `$3` is where to begin to look. */
const own = `
  with calls as (select call from audit_events where log = $1 and $2 in (${people}) and call is not null),
    own as (
      select event_id from audit_events where log = $1 and leaf_index >= $3 and $2 in (${people})
      union select event_id from audit_events join calls using (call) where log = $1 and leaf_index >= $3)`;

type By = { readonly value: string } | { readonly commitment: string };

/**
 * Whom this log calls so, or has under this commitment. Of somebody who was forgotten, whose name is `erased-…` now, only where calls
 * that were under way then have left something since; undefined where there is nobody.
 */
export async function find(client: PoolClient, log: string, by: By): Promise<Found | undefined> {
  const { rows: known } = await client.query<{ commitment: Buffer }>(
    `select commitment from audit_subjects where log = $1 and ${"value" in by ? "value = $2" : "commitment = decode($2, 'hex')"}`,
    [log, "value" in by ? by.value : by.commitment],
  );
  const commitment = known[0]?.commitment ?? (await forgotten(client, log, by));
  if (commitment === undefined) return undefined;
  const { rows } = await client.query<Record<keyof Touched, string>>(
    `${own} select (select count(*) from audit_events where log = $1 and $2 in (${people})) as events,
       (select count(*) from audit_captured join own using (event_id)) as captured,
       (select count(*) from audit_content join own using (event_id)) as content`,
    [log, commitment, 0],
  );
  const found = { ...numbers(rows[0]), commitment: commitment.toString("hex") };
  return known.length > 0 || found.captured + found.content > 0 ? found : undefined;
}

/** The commitment of somebody who is in the events alone. */
async function forgotten(client: PoolClient, log: string, by: By): Promise<Buffer | undefined> {
  const digits = "commitment" in by ? by.commitment : /^erased-([0-9a-f]{12})$/.exec(by.value)?.[1];
  if (digits === undefined) return undefined;
  const { rows } = await client.query<{ said: Buffer }>(
    `select said from audit_events, unnest(array[${people}]) as said
     where log = $1 and starts_with(encode(said, 'hex'), $2) limit 1`,
    [log, digits],
  );
  return rows[0]?.said;
}

/**
 * Forgets somebody: what the commitment stands for, its salt, and what was captured and kept of their calls. The events stay, and
 * so do all proofs. Who comes again is somebody else for the trail.
 */
export function erase(client: PoolClient, log: string, commitment: string): Promise<Touched> {
  const person = Buffer.from(commitment, "hex");
  return transaction(client, async () => {
    const size = await sizeOf(client, log);
    const ids = async (from: string) => {
      const { rows } = await client.query<{ event_id: string }>(`${own} select event_id from own`, [log, person, from]);
      return rows.map(({ event_id: id }) => id);
    };
    const before = await ids("0");
    // Nobody adds to the log from here on: what came meanwhile is little.
    await client.query(lockLog, [log]);
    const all = [...before, ...(await ids(size))];
    const { rows } = await client.query<Record<keyof Touched, string>>(
      `with person as (delete from audit_subjects where log = $1 and commitment = $2),
         captured as (delete from audit_captured where event_id = any($3) returning 1),
         content as (delete from audit_content where event_id = any($3) returning 1)
       select (select count(*) from captured) as captured, (select count(*) from content) as content,
         (select count(*) from audit_events where event_id = any($3) and $2 in (${people})) as events`,
      [log, person, all],
    );
    return numbers(rows[0]);
  });
}

function numbers(row: Record<keyof Touched, string> | undefined): Touched {
  return { events: Number(row?.events), captured: Number(row?.captured), content: Number(row?.content) };
}
