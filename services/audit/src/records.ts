import { personalColumns, type AuditRecord } from "@sluice/contracts";
import type { ClientBase } from "pg";
import {
  readByIds,
  readCaptured,
  readCompleting,
  readSubjects,
  type RowsRange,
  type TrailRow,
} from "./trail-rows.ts";

/** What stands behind the rows of a batch. */
interface Behind {
  readonly subjects: ReadonlyMap<string, string>;
  readonly captured: ReadonlyMap<string, Record<string, unknown>>;
}

const shownOfErased = 12;
const callKinds = new Set(["intent", "outcome", "unknown"]);

/**
 * The records of a stretch of a log, in its order: calls whole, all else as it was told. Never content.
 * A call whose outcome comes after `outcome unknown` gets a second record, with another id.
 */
export async function readRecords(client: ClientBase, range: RowsRange): Promise<AuditRecord[]> {
  const rows = await readCompleting(client, range);
  const others = await readByIds(
    client,
    rows.flatMap((row) => (callKinds.has(row.kind) ? [otherOf(row)] : [])),
  );
  const all = [...rows, ...others.values()];
  const behind = {
    subjects: await readSubjects(client, commitmentsIn(all)),
    captured: await readCaptured(
      client,
      all.flatMap((row) => (row["captured"] === null ? [] : [row.event_id])),
    ),
  };
  return rows.map((row) => recordOf(row, others.get(otherOf(row)), behind));
}

/** The event that makes a call whole together with this one. */
function otherOf({ kind, call }: TrailRow): string {
  return `${call}.${kind === "intent" ? "o" : "i"}`;
}

function commitmentsIn(rows: readonly TrailRow[]): Buffer[] {
  return rows.flatMap((row) => personalColumns.flatMap((column) => (row[column] as Buffer | null) ?? []));
}

function recordOf(row: TrailRow, other: TrailRow | undefined, behind: Behind): AuditRecord {
  const fields = known({ ...fieldsOf[row.kind]?.(row), ...frameOf(row) });
  if (!callKinds.has(row.kind)) return { ...fields, ...personal(row, behind) } as unknown as AuditRecord;
  const [intent, outcome] = row.kind === "intent" ? [row, other] : [other, row];
  return callOf(row, { intent, outcome, behind });
}

function frameOf(row: TrailRow) {
  return {
    type: row.kind,
    id: row.event_id,
    log: row.log,
    index: Number(row.leaf_index),
    timestamp: row.at.toISOString(),
    storedAt: row.stored_at.toISOString(),
    correlationId: row.call,
    tenant: row["tenant"],
    emitter: row["emitter"],
  };
}

const fieldsOf: Readonly<Record<string, (row: TrailRow) => Record<string, unknown>>> = {
  action: (row) => ({
    action: row["action"],
    result: row["result"],
    operator: row["operator"],
    subject: row["subject"],
    server: row["server"],
    target: row["target"],
    definition: row["definition"],
    previousDefinition: row["previous_definition"],
    fault: row["fault"],
    count: row["count"],
  }),
  stream: (row) => ({
    server: row["server"],
    task: row["task"],
    taskState: row["task_state"],
    eventKind: row["event_kind"],
    eventNumber: whole(row["event_number"]),
    bytes: whole(row["bytes"]),
  }),
  refusals: (row) => ({
    until: (row["until"] as Date).toISOString(),
    protocol: row["protocol"],
    status: row["status"],
    fault: row["fault"],
    count: row["count"],
  }),
  emitter: (row) => ({ service: row["service"], word: row["word"], version: row["version"] }),
};

interface CallEvents {
  readonly intent: TrailRow | undefined;
  readonly outcome: TrailRow | undefined;
  readonly behind: Behind;
}

function callOf(row: TrailRow, { intent, outcome, behind }: CallEvents): AuditRecord {
  const frame = frameOf(row);
  const captured = {
    ...behind.captured.get(intent?.event_id ?? ""),
    ...behind.captured.get(outcome?.event_id ?? ""),
  };
  return known({
    ...frame,
    type: "call",
    state: outcome?.kind === "unknown" ? "outcome unknown" : "done",
    timestamp: (intent ?? row).at.toISOString(),
    tenant: intent?.["tenant"] ?? frame.tenant,
    emitter: (intent ?? row)["emitter"],
    ...(intent && { ...intentFields(intent), ...personal(intent, behind) }),
    ...(outcome && outcomeFields(outcome, intent)),
    captured: Object.keys(captured).length > 0 ? captured : null,
  }) as unknown as AuditRecord;
}

function intentFields(intent: TrailRow): Record<string, unknown> {
  return {
    auth: intent["auth"],
    authIssuer: intent["auth_issuer"],
    scopes: intent["scopes"],
    label: intent["label"],
    protocol: intent["protocol"],
    era: intent["era"],
    clientName: intent["client_name"],
    clientVersion: intent["client_version"],
    httpMethod: intent["http"],
    requestPath: intent["path"],
    protocolMethod: intent["method"],
    toolName: intent["method"] === "tools/call" ? intent["target"] : null,
    target: intent["target"],
    targetKind: intent["target_kind"],
    server: intent["server"],
    namedServer: intent["named_server"],
    resumes: intent["resumes"],
    sessionHash: intent["session_hash"],
    rpcId: intent["rpc_id"],
    trace: intent["trace"],
    requestBytes: whole(intent["bytes"]),
    argumentsHash: hex(intent["arguments_hash"]),
    a2aVersion: intent["a2a_version"],
    a2aBinding: intent["a2a_binding"],
    task: intent["task"],
    context: intent["context"],
    pushConfig: intent["push_config"],
    messageKind: intent["message_kind"],
  };
}

function outcomeFields(outcome: TrailRow, intent: TrailRow | undefined): Record<string, unknown> {
  const server = intent?.["server"];
  return {
    finishedAt: outcome.kind === "unknown" ? null : outcome.at.toISOString(),
    status: outcome["status"],
    decision: outcome["decision"],
    rule: outcome["rule"],
    policyVersion: whole(outcome["policy_version"]),
    shadowDecision: outcome["shadow_decision"],
    shadowRule: outcome["shadow_rule"],
    limitPolicy: outcome["limit_policy"],
    limitLeft: whole(outcome["limit_left"]),
    fault: outcome["fault"],
    toolError: outcome["is_error"],
    duration: outcome["duration_ms"],
    responseBytes: whole(outcome["bytes"]),
    argumentsHash: hex(intent?.["arguments_hash"]) ?? hex(outcome["arguments_hash"]),
    resultHash: hex(outcome["result_hash"]),
    events: whole(outcome["events"]),
    upstream: outcome["upstream"] ?? (server === "*" ? null : server),
    credential: outcome["credential"],
    definition: outcome["definition"],
    task: intent?.["task"] ?? outcome["task"],
    taskState: outcome["task_state"],
    outcomeEmitter: outcome["emitter"],
  };
}

const personalNames = {
  agent_id: "agentId",
  agent_name: "agentName",
  agent_owner: "agentOwner",
  auth_user: "user",
  peer: "peer",
} as const satisfies Record<(typeof personalColumns)[number], string>;

/** In plain words; of who was forgotten only that it is always the same one, as the view audit_calls has it. */
function personal(row: TrailRow, { subjects }: Behind): Record<string, string> {
  return Object.fromEntries(
    personalColumns.flatMap((column) => {
      const commitment = (row[column] as Buffer | null)?.toString("hex");
      if (commitment === undefined) return [];
      return [[personalNames[column], subjects.get(commitment) ?? `erased-${commitment.slice(0, shownOfErased)}`]];
    }),
  );
}

function known(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
}

function whole(value: unknown): number | undefined {
  return value === null || value === undefined ? undefined : Number(value);
}

function hex(value: unknown): string | undefined {
  return Buffer.isBuffer(value) ? value.toString("hex") : undefined;
}
