import type { Action, Intent, Outcome, StreamEvent } from "@sluice/contracts";

const ofEveryEvent = {
  event_id: "text",
  call: "text",
  kind: "text",
  at: "timestamptz",
  reported_by: "text",
  bytes: "bigint",
} as const;

/** The columns that an intent fills, and their types in Postgres. */
export const intentColumns = {
  ...ofEveryEvent,
  tenant: "text",
  agent_id: "text",
  agent_name: "text",
  agent_owner: "text",
  auth: "text",
  auth_issuer: "text",
  auth_user: "text",
  label: "text",
  protocol: "text",
  era: "text",
  http: "text",
  path: "text",
  method: "text",
  target: "text",
  server: "text",
  session_hash: "text",
  rpc_id: "text",
  trace: "text",
  a2a_version: "text",
  a2a_binding: "text",
  task: "text",
  context: "text",
  push_config: "text",
  message_kind: "text",
} as const;

/** The columns that an outcome fills. */
export const outcomeColumns = {
  ...ofEveryEvent,
  status: "integer",
  decision: "text",
  rule: "text",
  policy_version: "bigint",
  fault: "text",
  is_error: "boolean",
  duration_ms: "double precision",
  events: "bigint",
  upstream: "text",
  definition: "text",
  shadow_decision: "text",
  shadow_rule: "text",
  task: "text",
  task_state: "text",
} as const;

/** The columns that an operator's action fills. */
export const actionColumns = {
  ...ofEveryEvent,
  tenant: "text",
  fault: "text",
  operator: "text",
  action: "text",
  subject: "text",
  server: "text",
  target: "text",
  definition: "text",
  previous_definition: "text",
  result: "text",
  count: "integer",
} as const;

/** The columns that an event of a task's stream fills. */
export const streamColumns = {
  ...ofEveryEvent,
  tenant: "text",
  server: "text",
  task: "text",
  task_state: "text",
  event_kind: "text",
  event_number: "bigint",
} as const;

type Column =
  keyof typeof intentColumns | keyof typeof outcomeColumns | keyof typeof actionColumns | keyof typeof streamColumns;

/** One row of `audit_events`; what is absent is NULL. */
export type EventRow = Readonly<Partial<Record<Column, string | number | boolean | undefined>>> & {
  readonly event_id: string;
  readonly kind: "intent" | "outcome" | "action" | "stream";
};

/** Of a session's name: enough to group its calls. */
const sessionDigits = 16;

export function intentRow(intent: Intent, from: string): EventRow {
  return {
    event_id: `${intent.call}.i`,
    call: intent.call,
    kind: "intent",
    at: new Date(intent.at).toISOString(),
    reported_by: from,
    bytes: intent.bytes,
    tenant: intent.tenant,
    agent_id: intent.agent.id,
    agent_name: intent.agent.name,
    agent_owner: intent.agent.owner,
    auth: intent.auth,
    auth_issuer: intent.issuer,
    auth_user: intent.user,
    label: intent.label,
    protocol: intent.protocol,
    era: intent.era,
    http: intent.http,
    path: intent.path,
    method: intent.method,
    target: intent.target,
    server: intent.server,
    session_hash: intent.session?.slice(0, sessionDigits),
    rpc_id: intent.rpcId,
    trace: intent.trace,
    a2a_version: intent.a2a?.version,
    a2a_binding: intent.a2a?.binding,
    task: intent.a2a?.task,
    context: intent.a2a?.context,
    push_config: intent.a2a?.pushConfig,
    message_kind: intent.a2a?.messageKind,
  };
}

export function outcomeRow(outcome: Outcome): EventRow {
  return {
    event_id: `${outcome.call}.o`,
    call: outcome.call,
    kind: "outcome",
    at: new Date(outcome.at).toISOString(),
    reported_by: outcome.by,
    bytes: outcome.bytes,
    status: outcome.status,
    decision: outcome.decision,
    rule: outcome.rule,
    policy_version: outcome.policyVersion,
    fault: outcome.fault,
    is_error: outcome.isError,
    duration_ms: outcome.durationMs,
    events: outcome.events,
    upstream: outcome.upstream,
    definition: outcome.definition,
    shadow_decision: outcome.shadow?.decision,
    shadow_rule: outcome.shadow?.rule,
    task: outcome.task,
    task_state: outcome.taskState,
  };
}

export function actionRow(action: Action, from: string): EventRow {
  return {
    event_id: `${action.id}.${action.result === "begun" ? "b" : "e"}`,
    call: action.id,
    kind: "action",
    at: new Date(action.at).toISOString(),
    reported_by: from,
    bytes: 0,
    tenant: action.tenant,
    fault: action.fault,
    operator: action.operator,
    action: action.action,
    subject: action.subject,
    server: action.server,
    target: action.target,
    definition: action.definition,
    previous_definition: action.previousDefinition,
    result: action.result,
    count: action.count,
  };
}

export function streamRow(event: StreamEvent): EventRow {
  return {
    event_id: `${event.call}.s${event.number}`,
    call: event.call,
    kind: "stream",
    at: new Date(event.at).toISOString(),
    reported_by: event.by,
    bytes: event.bytes,
    tenant: event.tenant,
    server: event.server,
    task: event.task,
    task_state: event.taskState,
    event_kind: event.kind,
    event_number: event.number,
  };
}

/** Postgres text holds neither NUL nor half a surrogate pair: both become U+FFFD. */
export function storable(row: EventRow): EventRow {
  const fixed: Record<string, unknown> = row;
  for (const [name, value] of Object.entries(row)) {
    if (typeof value === "string") fixed[name] = value.replaceAll("\0", "\u{FFFD}").toWellFormed();
  }
  return row;
}
