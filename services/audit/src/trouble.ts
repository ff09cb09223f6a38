import { SchemaError } from "@sluice/schema";
import { TrailBroken } from "./edges-postgres.ts";

/** What operators have to know of errors (SQLSTATE, or Node's word): PostgreSQL Error Codes. */
const known: Readonly<Record<string, string>> = {
  "53100": "the disk of Postgres is full",
  "53200": "Postgres has no memory left",
  "53300": "Postgres has no connection left",
  "53000": "Postgres has no files or memory left",
  "58030": "Postgres can't write to its disk",
  "25006": "Postgres is read-only",
  "42501": "the user of DATABASE_URL may not write the audit trail",
  "28P01": "Postgres refuses the password of DATABASE_URL",
  EMFILE: "this process has no file descriptors left",
  ENFILE: "this machine has no file descriptors left",
};

/** Why events can't be stored, for those who can mend it: nothing of the events themselves. */
export function troubleOf(error: unknown): string {
  if (error instanceof TrailBroken) return `nothing is stored: ${error.message}`;
  if (error instanceof SchemaError) return `events can't be stored: ${error.message}`;
  const code = error instanceof Error && "code" in error ? String(error.code) : "no answer";
  const isSaid = /^[0-9A-Z]{5}$/.test(code);
  return `events can't be stored: ${known[code] ?? (isSaid ? `Postgres says ${code}` : `Postgres can't be reached (${code})`)}`;
}
