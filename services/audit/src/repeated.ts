import type { ClientBase } from "pg";
import { newEvent, type NewEvent } from "./event-row.ts";

/** Who told an event, and as which one of its own. */
export interface Origin {
  readonly emitter: string;
  readonly seq: number | undefined;
}

function originOf({ columns }: NewEvent): Origin {
  return { emitter: columns["emitter"] as string, seq: columns["seq"] as number | undefined };
}

/** What is to be stored of some events. */
export interface Sorted {
  readonly fresh: NewEvent[];
  /** By id: what stands for events that were told before under another number, so that no number is missing for it. */
  readonly repeated: Map<string, NewEvent>;
}

/** @param origins of the events that are stored already, by id; those that are fresh are added */
export function sortOut(events: readonly NewEvent[], origins: Map<string, Origin>): Sorted {
  const fresh: NewEvent[] = [];
  const repeated = new Map<string, NewEvent>();
  for (const event of events) {
    const [told, origin] = [origins.get(event.id), originOf(event)];
    if (told === undefined) {
      origins.set(event.id, origin);
      fresh.push(event);
    } else if (origin.seq !== undefined && (told.emitter !== origin.emitter || told.seq !== origin.seq)) {
      const row = repeatedOf(event, origin);
      repeated.set(row.id, row);
    }
  }
  return { fresh, repeated };
}

/** In the log of what it repeats. */
function repeatedOf({ log, columns }: NewEvent, { emitter, seq }: Origin): NewEvent {
  const { at, tenant, call } = columns;
  const event = { at: Date.parse(at as string), seq, tenant: tenant as string | undefined };
  return { ...newEvent(`${emitter}.r${seq}`, { kind: "emitter", emitter, event }, { call, word: "repeated" }), log };
}

/** Leaves out those that are stored already. */
export async function dropStored(client: ClientBase, repeated: ReadonlyMap<string, NewEvent>): Promise<NewEvent[]> {
  if (repeated.size === 0) return [];
  const { rows } = await client.query<{ id: string }>({
    name: "stored-ids",
    text: "select event_id as id from audit_events where event_id = any($1)",
    values: [[...repeated.keys()]],
  });
  const stored = new Set(rows.map(({ id }) => id));
  return [...repeated.values()].filter(({ id }) => !stored.has(id));
}
