import type { Format } from "../formats/format.ts";
import type { Batch } from "./sink.ts";

/** A batch as one body: an array of JSON, or lines. */
export function bodyOf({ records }: Batch, format: Format): string {
  return format.isJson ? `[${records.map(({ text }) => text).join(",")}]` : linesOf(records);
}

export function linesOf(records: Batch["records"]): string {
  return records.map(({ text }) => `${text}\n`).join("");
}
