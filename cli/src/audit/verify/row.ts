import pg, { type CustomTypesConfig } from "pg";

/** Reads columns as the record of a leaf has them (docs/adr/0010-audit-trail.md, "Leaf"). The session's time zone is to be UTC. */
export const recordTypes: CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: string) => {
    if (format === "binary") throw new Error("rows are read as text");
    return readers.get(oid) ?? asText;
  }) as CustomTypesConfig["getTypeParser"],
};

type Read = (text: string) => unknown;
const textArray = 1009;
const readTexts = pg.types.getTypeParser(textArray as never, "text") as Read;

/** By the ids of Postgres' own types (pg_type.dat). */
const readers: ReadonlyMap<number, Read> = new Map<number, Read>([
  [16, (text) => text === "t"],
  [17, (text) => text.slice("\\x".length)],
  [20, exactly],
  [21, Number],
  [23, Number],
  [701, Number],
  [114, JSON.parse],
  [textArray, readTexts],
  [1184, instantOf],
  [3802, JSON.parse],
]);

function asText(text: string): string {
  return text;
}

/** What a number of JSON does not hold stays text, which is nobody's record. */
function exactly(text: string): number | string {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
}

/** `2026-11-21 10:00:00.5+00` as `2026-11-21T10:00:00.500Z`. */
function instantOf(text: string): string {
  const [, day, time, fraction = ""] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text) ?? [];
  if (day === undefined) return text;
  const digits = fraction.length > 3 ? fraction.padEnd(6, "0") : fraction.padEnd(3, "0");
  return `${day}T${time}.${digits}Z`;
}
