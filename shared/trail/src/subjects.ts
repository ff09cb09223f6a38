import type { ClientBase } from "pg";
import type { Conditions } from "./condition.ts";

/** A log and value have one commitment; without a log this asks each log's part of the index, and not the whole table. */
const commitmentsOf = `
  with recursive logs as (
    select min(log) as log from audit_subjects
    union all
    select (select min(subjects.log) from audit_subjects as subjects where subjects.log > logs.log) from logs where logs.log is not null
  )
  select subjects.commitment
  from (select log from logs where $2::text is null union select $2::text) as asked
  join audit_subjects as subjects on subjects.log = asked.log and subjects.value = $1`;

const erasedForm = /^erased-([0-9a-f]{12})$/;
const hexDigits = 64;

export interface Person {
  /** Column that holds a commitment. */
  readonly column: string;
  readonly value: string | undefined;
  /** The only log that is asked for, where there is one. */
  readonly log: string | undefined;
}

/** Adds that a personal column says this: what is compared are commitments, of which there are indexes. */
export async function addPerson(
  client: ClientBase,
  conditions: Conditions,
  { column, value, log }: Person,
): Promise<void> {
  if (value === undefined) return;
  const { rows } = await client.query<{ commitment: Buffer }>(commitmentsOf, [value, log ?? null]);
  const erased = erasedForm.exec(value)?.[1];
  if (rows.length > 0 || erased === undefined)
    conditions.add(
      `${column} = any(?::bytea[])`,
      rows.map(({ commitment }) => commitment),
    );
  else
    conditions.add(
      `${column} between ? and ?`,
      ...["0", "f"].map((digit) => Buffer.from(erased.padEnd(hexDigits, digit), "hex")),
    );
}
