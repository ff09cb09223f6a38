import type { AuditRecord } from "@sluice/contracts";
import { asJson, type EventFormatSettings, type OpenFormat } from "./format.ts";

/** The form of seed 001: one flat object, with what `captureFields` took at the top level. */
export const structuredJson: OpenFormat = (settings) => asJson((record) => structured(record, settings));

/** A captured field never stands in for one that the gateway itself says: those that would stay in `captured`. */
export function structured(record: AuditRecord, settings: EventFormatSettings): Record<string, unknown> {
  const { captured = {}, ...own } = record as AuditRecord & { captured?: Record<string, unknown> };
  const hidden = [
    ...(settings.includeTimestamp ? [] : ["timestamp"]),
    ...(settings.includeCorrelationId ? [] : ["correlationId"]),
    ...(settings.includeDuration ? [] : ["duration"]),
    ...(settings.includeRequestPath ? [] : ["requestPath"]),
  ];
  const isTaken = (name: string) => Object.hasOwn(own, name) || hidden.includes(name) || name === "captured";
  const entries = Object.entries(captured);
  const aside = entries.filter(([name]) => isTaken(name));
  return {
    ...Object.fromEntries(entries.filter(([name]) => !isTaken(name))),
    ...(aside.length > 0 && { captured: Object.fromEntries(aside) }),
    ...Object.fromEntries(Object.entries(own).filter(([name]) => !hidden.includes(name))),
  };
}
