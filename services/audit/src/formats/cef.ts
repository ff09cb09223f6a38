import type { AuditRecord } from "@sluice/contracts";
import type { OpenFormat } from "./format.ts";

/** Everything that a line or a terminal could take for an end or an order: C0, DEL, C1, and the separators of Unicode. */
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;
// oxlint-disable-next-line no-control-regex
const controlsInLines = /[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029]/g;

/** ArcSight's Common Event Format, version 0: header fields escape `\` and `|`, values of the extension `\`, `=` and the ends of lines. */
export const cef: OpenFormat = () => ({
  isJson: false,
  batchType: "text/plain; charset=utf-8",
  extension: "cef",
  write: (record) => {
    const header = ["Sluice", "Sluice", "1", idOf(record), nameOf(record), severityOf(record)];
    const extension = fieldsOf(record).flatMap(([key, value]) =>
      value === undefined ? [] : [`${key}=${escaped(String(value))}`],
    );
    return `CEF:0|${header.map((field) => escapedInHeader(String(field))).join("|")}|${extension.join(" ")}`;
  },
});

function escapedInHeader(text: string): string {
  return text.toWellFormed().replaceAll(controls, " ").replaceAll(/[\\|]/g, "\\$&");
}

function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(controlsInLines, " ")
    .replaceAll(/[\\=]/g, "\\$&")
    .replaceAll("\r", "\\r")
    .replaceAll("\n", "\\n");
}

/** What kind of event it is, of a small set: a device event class id. */
function idOf(record: AuditRecord): string {
  if (record.type === "call") return `call.${record.decision ?? "unknown"}`;
  if (record.type === "emitter") return `emitter.${record.word}`;
  return record.type === "action" ? record.action : record.type;
}

function nameOf(record: AuditRecord): string {
  switch (record.type) {
    case "call":
      return record.protocolMethod ?? "call";
    case "action":
      return record.action;
    case "stream":
      return record.eventKind;
    case "refusals":
      return `refused: ${record.fault}`;
    case "emitter":
      return `${record.service} ${record.word}`;
  }
}

const severities = { known: 2, failed: 4, refused: 6 } as const;
const firstError = 400;

/** 0 to 10. */
function severityOf(record: AuditRecord): number {
  if (record.type === "refusals") return severities.refused;
  if (record.type === "action" && record.result === "refused") return severities.refused;
  if (record.type !== "call") return severities.known;
  if (record.decision === "deny") return severities.refused;
  const isFailed = record.state !== "done" || (record.status ?? 0) >= firstError || record.toolError === true;
  return isFailed ? severities.failed : severities.known;
}

type Fields = readonly (readonly [key: string, value: string | number | boolean | undefined])[];

/** Keys of CEF's extension dictionary; what it has none for is in the custom strings, each with its label. */
function fieldsOf(record: AuditRecord): Fields {
  return [
    ["rt", Date.parse(record.timestamp)],
    ["externalId", record.id],
    ["dvchost", record.emitter],
    ["cs1Label", "log"],
    ["cs1", record.log],
    ["cn1Label", "index"],
    ["cn1", record.index],
    ...labelled("cs2", "correlationId", record.correlationId),
    ...own(record),
  ];
}

function labelled(key: string, label: string, value: string | number | boolean | undefined): Fields {
  if (value === undefined) return [];
  return [
    [`${key}Label`, label],
    [key, value],
  ];
}

function own(record: AuditRecord): Fields {
  switch (record.type) {
    case "call":
      return [
        ["suid", record.agentId],
        ["suser", record.user ?? record.agentName],
        ["requestMethod", record.httpMethod],
        ["request", record.requestPath],
        ["requestClientApplication", record.clientName],
        ["app", record.protocol],
        ["act", record.decision],
        ["outcome", record.state === "done" ? record.status : record.state],
        ["reason", record.fault ?? record.rule],
        ["dhost", record.upstream],
        ["in", record.requestBytes],
        ["out", record.responseBytes],
        ["end", record.finishedAt === undefined ? undefined : Date.parse(record.finishedAt)],
        ...labelled("cs3", "target", record.target),
        ...labelled("cs4", "agentOwner", record.agentOwner),
        ...labelled("cs5", "taskState", record.taskState),
        ...labelled("cs6", "captured", record.captured === undefined ? undefined : JSON.stringify(record.captured)),
        ...labelled("cn2", "durationMs", record.duration === undefined ? undefined : Math.round(record.duration)),
        ...labelled("flexString1", "toolError", record.toolError),
      ];
    case "action":
      return [
        ["suid", record.operator],
        ["act", record.action],
        ["outcome", record.result],
        ["reason", record.fault],
        ["cnt", record.count],
        ...labelled("cs3", "subject", record.subject ?? record.target),
      ];
    case "stream":
      return [
        ["dhost", record.server],
        ["cat", record.eventKind],
        ["out", record.bytes],
        ...labelled("cs3", "task", record.task),
        ...labelled("cs5", "taskState", record.taskState),
        ...labelled("cn2", "number", record.eventNumber),
      ];
    case "refusals":
      return [
        ["src", record.peer],
        ["app", record.protocol],
        ["act", "deny"],
        ["outcome", record.status],
        ["reason", record.fault],
        ["cnt", record.count],
        ["end", Date.parse(record.until)],
      ];
    case "emitter":
      return [
        ["sproc", record.service],
        ["act", record.word],
      ];
  }
}
