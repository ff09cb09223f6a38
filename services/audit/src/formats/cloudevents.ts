import { structured } from "./structured-json.ts";
import { asJson, type OpenFormat } from "./format.ts";

/** CloudEvents 1.0 in JSON, https://github.com/cloudevents/spec: the structured form as `data`; over HTTP the batched content mode. */
export const cloudEvents: OpenFormat = (settings) =>
  asJson(
    (record) => ({
      specversion: "1.0",
      id: record.id,
      source: `/sluice/${encodeURIComponent(record.log)}`,
      type: `sluice.audit.${record.type}.v1`,
      ...(record.correlationId !== undefined && { subject: record.correlationId }),
      time: record.timestamp,
      datacontenttype: "application/json",
      data: structured(record, settings),
    }),
    "application/cloudevents-batch+json",
  );
