import type { AuditRecord } from "@sluice/contracts";
import type { Format } from "../formats/format.ts";
import type { Written } from "../sinks/sink.ts";

const firstError = 400;

/** @throws whatever the format does: the record can't be written in it */
export function writtenOf(record: AuditRecord, format: Format): Written {
  return {
    index: record.index,
    type: record.type,
    isAlarming: isAlarming(record),
    at: new Date(record.timestamp),
    text: format.write(record),
  };
}

function isAlarming(record: AuditRecord): boolean {
  switch (record.type) {
    case "call":
      return record.state !== "done" || record.decision === "deny" || (record.status ?? 0) >= firstError;
    case "action":
      return record.result === "refused" || record.result === "failed";
    case "refusals":
      return true;
    default:
      return false;
  }
}
