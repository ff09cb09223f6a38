import type { TrailRow } from "@sluice/contracts";
import { stringify } from "csv-stringify/sync";
import { callColumns } from "./columns.ts";
import type { Encode } from "./output.ts";

/**
 * RFC 4180 with a header. A text that a spreadsheet would take for a formula (=, +, -, @, tab or CR in front) gets a ' before it, as OWASP's
 * "CSV Injection" says: agents choose names of targets, and auditors open files.
 */
export const encodeCsv: Encode = async (rows, output) => {
  const columns = callColumns.map(([name]) => name);
  await output.write(textOf([columns]));
  for await (const chunk of rows)
    await output.write(textOf(chunk.map((row) => columns.map((name) => cell(row[name])))));
};

function textOf(records: readonly (readonly string[])[]): string {
  return stringify(records as string[][], { record_delimiter: "windows", escape_formulas: true });
}

function cell(value: TrailRow[string]): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  return JSON.stringify(value);
}
