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

/**
 * Whom this log calls so, or has under this commitment; undefined where it does not. Who was forgotten is called `erased-…` as views
 * show it, or by the whole commitment: calls that were under way may have left something since.
 */
export async function find(
  client: PoolClient,
  log: string,
  by: { readonly value: string } | { readonly commitment: string },
): Promise<Found | undefined> {
  const commitment = "value" in by ? await commitmentOf(client, log, by.value) : Buffer.from(by.commitment, "hex");
  if (commitment === undefined) return undefined;
  const known = await client.query("select from audit_subjects where log = $1 and commitment = $2", [log, commitment]);
  const { rows } = await client.query<Record<keyof Touched, string>>(
    `${own} select (select count(*) from audit_events where log = $1 and $2 in (${people})) as events,
       (select count(*) from audit_captured join own using (event_id)) as captured,
       (select count(*) from audit_content join own using (event_id)) as content`,
    [log, commitment, 0],
  );
  const touched = numbers(rows[0]);
  if (known.rowCount === 0 && touched.events === 0) return undefined;
  return { ...touched, commitment: commitment.toString("hex") };
}

const forgotten = /^(?:erased-([0-9a-f]{12})|([0-9a-f]{64}))$/;

async function commitmentOf(client: PoolClient, log: string, value: string): Promise<Buffer | undefined> {
  const subject = "select commitment from audit_subjects where log = $1 and value = $2";
  const { rows } = await client.query<{ commitment: Buffer }>(subject, [log, value]);
  const [, short, whole] = forgotten.exec(value) ?? [];
  if (rows[0] !== undefined) return rows[0].commitment;
  if (whole !== undefined) return Buffer.from(whole, "hex");
  if (short === undefined) return undefined;
  const standing = await client.query<{ commitment: Buffer }>(
    `select distinct commitment from audit_events, unnest(array[${people}]) as commitment
     where log = $1 and substring(commitment for 6) = decode($2, 'hex')`,
    [log, short],
  );
  return standing.rows.length === 1 ? standing.rows[0]?.commitment : undefined;
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
