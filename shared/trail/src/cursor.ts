import { Fault } from "@sluice/contracts";

/** A place in a view: its rows are in the order of (at, id), and none is ever put elsewhere. */
export interface Place {
  /** Unix microseconds; what Postgres counts in. */
  readonly atMicros: string;
  readonly id: string;
}

const version = "1";

/** Says nothing to who has it, and stays good for ever. */
export function cursorOf({ atMicros, id }: Place): string {
  return Buffer.from(JSON.stringify([version, atMicros, id])).toString("base64url");
}

/** @throws Fault `invalid_request` */
export function placeOf(cursor: string): Place {
  const [form, atMicros, id, ...rest] = parse(cursor);
  const isPlace = form === version && typeof atMicros === "string" && /^-?\d{1,16}$/.test(atMicros);
  if (!isPlace || typeof id !== "string" || id.includes("\0") || rest.length > 0)
    throw new Fault("invalid_request", "cursor: must be the `next` of a page");
  return { atMicros, id };
}

function parse(cursor: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}
