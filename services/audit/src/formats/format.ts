import type { AuditRecord, eventFormatSchema } from "@sluice/contracts";
import type { z } from "zod";

export type EventFormatSettings = z.infer<typeof eventFormatSchema>;

/** How one record is written. What it makes is one line: no CR or LF of a value gets into it. */
export interface Format {
  readonly isJson: boolean;
  /** Of a body that holds a batch: of JSON formats an array, else lines. */
  readonly batchType: string;
  /** Of the name of a file. */
  readonly extension: string;
  write(record: AuditRecord): string;
}

export type OpenFormat = (settings: EventFormatSettings) => Format;

const jsonFormat = { isJson: true, batchType: "application/json", extension: "jsonl" } as const;

/** A format that is a JSON object per record. */
export function asJson(write: (record: AuditRecord) => unknown, batchType: string = jsonFormat.batchType): Format {
  return { ...jsonFormat, batchType, write: (record) => JSON.stringify(write(record)) };
}
