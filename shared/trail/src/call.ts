import { Fault, type CallAnswer, type ContentAnswer } from "@sluice/contracts";
import type { ClientBase } from "pg";
import { bounded } from "./page.ts";
import { faultOf, plain, types } from "./read.ts";

/** Beside intent, outcome or its lack, and content there is nothing that a call has more than once. */
const mostEvents = 8;

const events = `
  select event.*,
    audit_said(event.agent_id, agent.value) as agent_id, audit_said(event.agent_name, name.value) as agent_name,
    audit_said(event.agent_owner, owner.value) as agent_owner, audit_said(event.auth_user, person.value) as auth_user
  from audit_events as event
  left join audit_subjects as agent on agent.commitment = event.agent_id
  left join audit_subjects as name on name.commitment = event.agent_name
  left join audit_subjects as owner on owner.commitment = event.agent_owner
  left join audit_subjects as person on person.commitment = event.auth_user
  where event.call = $1 and event.kind in ('intent', 'outcome', 'unknown', 'content')
  order by event.at, event.event_id limit ${mostEvents}`;

/**
 * One attempt whole.
 * @throws Fault `not_found`
 */
export async function readCall(client: ClientBase, call: string): Promise<CallAnswer> {
  const found = await asked(client, "select * from audit_calls where call = $1", [call]);
  const [row] = found;
  if (row === undefined) throw new Fault("not_found", `there is no call ${call}`);
  const told = await asked(client, events, [call]);
  return {
    call: bounded(plain(row)),
    events: told.map((event) => {
      return Object.fromEntries(Object.entries(plain(event)).filter(([, value]) => value !== null));
    }),
  };
}

/**
 * What a call said, where its tenant has it kept. Takes the rights of `audit_content_reader`.
 * @throws Fault `not_found`
 */
export async function readContent(
  client: ClientBase,
  { call, part }: { readonly call: string; readonly part: ContentAnswer["part"] },
): Promise<ContentAnswer> {
  const [row] = await asked(
    client,
    `select event.at, event.bytes, content.data from audit_events as event join audit_content as content using (event_id)
     where event.call = $1 and event.kind = 'content' and event.part = $2`,
    [call, part],
  );
  if (row === undefined) throw new Fault("not_found", `nothing is kept of the ${part} of ${call}`);
  const { at, bytes, data } = row as { at: Date; bytes: number; data: Buffer };
  return { part, at: at.toISOString(), bytes, data: data.toString("base64") };
}

async function asked(client: ClientBase, text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
  try {
    return (await client.query<Record<string, unknown>>({ text, values, types })).rows;
  } catch (error) {
    throw faultOf(error);
  }
}
