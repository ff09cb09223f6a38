import type {
  ActionRecord,
  AuditRecord,
  CallRecord,
  EmitterRecord,
  RefusalsRecord,
  StreamRecord,
} from "@sluice/contracts";
import { asJson, type OpenFormat } from "./format.ts";

/** Of https://schema.ocsf.io. */
const schemaVersion = "1.8.0";
const categories = { iam: 3, application: 6 } as const;
const severities = { informational: 1, low: 2, medium: 3 } as const;
const success = 1;
const failure = 2;
const other = 99;
const unknownUser = { name: "unknown", type_id: 0 };
const service = 4;
const firstError = 400;

/** OCSF: calls and stream events are API Activity (6003), refusals Authentication (3002), operators' actions Entity Management (3004), emitters Application Lifecycle (6002). */
export const ocsf: OpenFormat = () => asJson((record) => ({ ...classified(record), ...common(record) }));

function classified(record: AuditRecord): Record<string, unknown> {
  switch (record.type) {
    case "call":
      return call(record);
    case "stream":
      return stream(record);
    case "refusals":
      return refusals(record);
    case "action":
      return action(record);
    case "emitter":
      return emitter(record);
  }
}

/** What has no attribute of its own is below `unmapped`, by its name in the structured form. */
function common(record: AuditRecord): Record<string, unknown> {
  return {
    time: Date.parse(record.timestamp),
    metadata: {
      version: schemaVersion,
      product: { name: "Sluice", vendor_name: "Sluice" },
      uid: record.id,
      log_name: record.log,
      sequence: record.index,
      logged_time: Date.parse(record.storedAt),
      ...(record.tenant !== undefined && { tenant_uid: record.tenant }),
      ...(record.correlationId !== undefined && { correlation_uid: record.correlationId }),
    },
    unmapped: record,
  };
}

interface Kind {
  readonly category: keyof typeof categories;
  /** Of the category: 1 to 99. */
  readonly kind: number;
  readonly activity: number;
  readonly severity?: keyof typeof severities;
}

function typed({ category, kind, activity, severity = "informational" }: Kind) {
  const perCategory = 1_000;
  const perClass = 100;
  const classUid = categories[category] * perCategory + kind;
  return {
    category_uid: categories[category],
    class_uid: classUid,
    activity_id: activity,
    type_uid: classUid * perClass + activity,
    severity_id: severities[severity],
  };
}

/** By what the method does: reading is sure of lists and gets alone. */
function activityOf(method = ""): number {
  if (/(?:\/list|\/read|\/get|^Get|^List|^Subscribe)/.test(method)) return 2;
  if (/(?:^Delete|\/delete)/.test(method)) return 4;
  return /(?:^Send|^Create|\/call|\/send)/.test(method) ? 1 : other;
}

/** Attributes without a value are left out where it is made JSON. */
function call(record: CallRecord): Record<string, unknown> {
  const { fault, upstream, target } = record;
  const activity = activityOf(record.protocolMethod);
  const operation = record.protocolMethod ?? "unknown";
  return {
    ...typed({ category: "application", kind: 3, activity, severity: severityOf(record) }),
    activity_name: activity === other ? operation : undefined,
    actor: { user: userOf(record), app_name: record.clientName },
    api: {
      operation,
      service: record.protocol && { name: record.protocol },
      request: { uid: record.correlationId ?? record.id },
      response: record.status && { code: record.status, error: fault },
    },
    src_endpoint: { uid: record.agentId ?? "unknown", name: record.clientName },
    dst_endpoint: upstream && { name: upstream },
    resources: target && [{ name: target, type: record.targetKind }],
    http_request: { http_method: record.httpMethod, url: record.requestPath && { path: record.requestPath } },
    http_response: record.status && { code: record.status },
    ...(record.state === "done" ? statusOf(!isFailed(record)) : { status_id: 0 }),
    status_code: record.status && String(record.status),
    status_detail: fault,
    duration: record.duration && Math.round(record.duration),
    end_time: record.finishedAt && Date.parse(record.finishedAt),
  };
}

function isFailed({ decision, status = 0, toolError, fault }: CallRecord): boolean {
  return decision === "deny" || status >= firstError || toolError === true || fault !== undefined;
}

function severityOf(record: CallRecord): Kind["severity"] & string {
  if (record.decision === "deny") return "medium";
  return isFailed(record) || record.state !== "done" ? "low" : "informational";
}

function userOf({ agentId, agentName, user }: CallRecord) {
  const uid = user ?? agentId;
  if (uid === undefined) return unknownUser;
  return { uid, ...(agentName !== undefined && { name: agentName }), type_id: user === undefined ? service : 1 };
}

function statusOf(isDone: boolean) {
  return { status_id: isDone ? success : failure };
}

function stream(record: StreamRecord): Record<string, unknown> {
  return {
    ...typed({ category: "application", kind: 3, activity: other }),
    activity_name: record.eventKind,
    actor: { app_name: record.server ?? "unknown" },
    api: { operation: `event/${record.eventKind}`, request: { uid: record.correlationId ?? record.id } },
    src_endpoint: { name: record.server ?? "unknown" },
    status_id: 0,
  };
}

function refusals(record: RefusalsRecord): Record<string, unknown> {
  return {
    ...typed({ category: "iam", kind: 2, activity: 1, severity: "medium" }),
    user: unknownUser,
    service: { name: "sluice" },
    ...(record.peer !== undefined && { src_endpoint: { ip: record.peer } }),
    ...statusOf(false),
    status_code: String(record.status),
    status_detail: record.fault,
    count: record.count,
    start_time: Date.parse(record.timestamp),
    end_time: Date.parse(record.until),
  };
}

const verbs: ReadonlyMap<string, number> = new Map([
  ["create", 1],
  ["read", 2],
  ["list", 2],
  ["get", 2],
  ["update", 3],
  ["delete", 4],
  ["revoke", 4],
]);

function action(record: ActionRecord): Record<string, unknown> {
  const verb = record.action.split(".").at(-1) ?? "";
  const activity = verbs.get(verb) ?? other;
  const isRefused = record.result === "refused";
  return {
    ...typed({ category: "iam", kind: 4, activity, severity: isRefused ? "medium" : "informational" }),
    ...(activity === other && { activity_name: record.action }),
    entity: {
      name: record.subject ?? record.target ?? record.action,
      type: record.action.split(".")[0] ?? record.action,
    },
    actor: { user: record.operator === undefined ? unknownUser : { uid: record.operator, type_id: 2 } },
    ...(record.result === "begun" ? { status_id: 0 } : statusOf(!isRefused && record.result !== "failed")),
    ...(record.fault !== undefined && { status_detail: record.fault }),
    ...(record.count !== undefined && { count: record.count }),
  };
}

function emitter(record: EmitterRecord): Record<string, unknown> {
  return {
    ...typed({ category: "application", kind: 2, activity: record.word === "started" ? 3 : 4 }),
    app: {
      name: record.service,
      uid: record.emitter,
      ...(record.version !== undefined && { version: record.version }),
    },
    ...statusOf(true),
  };
}
