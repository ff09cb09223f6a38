import { personalColumns, type AuditRecord, type TrailEntry } from "@sluice/contracts";
import { entryColumns, entryJoins, entryOf, entryTypes, type EntryRow, type Queries } from "./entries.ts";

/** A stretch of a log. */
export interface RecordRange {
  readonly log: string;
  /** Leaf indices: the first, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  readonly limit: number;
}

/** The columns of an event's row in plain words, those of who was forgotten as it is shown. */
type Event = Readonly<Record<string, unknown>> & { readonly event_id: string; readonly kind: string };

const shownOfErased = 12;
const callKinds: ReadonlySet<string> = new Set(["intent", "outcome", "unknown"]);

const selection = `select ${entryColumns} from audit_events as event ${entryJoins}`;

/**
 * Events that complete a record. A record of a call belongs to the later one of its two events: mostly the outcome, but where an
 * intent had to be sent again it may be the intent.
 */
const completing = `${selection}
  where event.log = $1 and event.leaf_index >= $2 and event.leaf_index < $3 and (
    event.kind in ('outcome', 'unknown', 'action', 'stream', 'refusals')
    or event.kind = 'emitter' and event.word <> 'repeated'
    or event.kind = 'intent' and exists (
      select from audit_events as outcome
      where outcome.event_id = event.call || '.o' and outcome.log = event.log and outcome.leaf_index < event.leaf_index
    )
  )
  order by event.leaf_index limit $4`;

/**
 * The records of a stretch of a log, in its order: calls whole, all else as it was told. Never content.
 * A call whose outcome comes after `outcome unknown` gets a second record, with another id.
 */
export async function readRecords(
  queries: Queries,
  { log, from, to, limit }: RecordRange,
): Promise<readonly AuditRecord[]> {
  const { rows } = await queries.query<EntryRow>({
    name: "records-completing",
    text: completing,
    values: [log, from, to, limit],
    types: entryTypes,
  });
  const entries = rows.map(entryOf);
  const others = await readOthers(
    queries,
    entries.map(({ event }) => event as Event).flatMap((event) => (callKinds.has(event.kind) ? [otherOf(event)] : [])),
  );
  return entries.map((entry) => recordOf(entry, others.get(otherOf(entry.event as Event))));
}

async function readOthers(queries: Queries, ids: readonly string[]): Promise<ReadonlyMap<string, Event>> {
  if (ids.length === 0) return new Map();
  const { rows } = await queries.query<EntryRow>({
    name: "records-others",
    text: `${selection} where event.event_id = any($1)`,
    values: [ids],
    types: entryTypes,
  });
  return new Map(rows.map(entryOf).map((entry) => [entry.event["event_id"] as string, shown(entry)]));
}

/** The event that makes a call whole together with this one. */
function otherOf({ kind, call }: Event): string {
  return `${call as string}.${kind === "intent" ? "o" : "i"}`;
}

/** Of who was forgotten only that it is always the same one, as the view audit_calls has it. */
function shown({ event, sealed }: TrailEntry): Event {
  const erased = personalColumns.flatMap((column) => {
    const { commitment } = { commitment: undefined, ...sealed[column] };
    return commitment === undefined ? [] : [[column, `erased-${commitment.slice(0, shownOfErased)}`] as const];
  });
  return { ...event, ...Object.fromEntries(erased) } as unknown as Event;
}

function recordOf(entry: TrailEntry, other: Event | undefined): AuditRecord {
  const event = shown(entry);
  const frame = frameOf(entry, event);
  if (!callKinds.has(event.kind))
    return known({ ...fieldsOf[event.kind]?.(event), ...frame }) as unknown as AuditRecord;
  const [intent, outcome] = event.kind === "intent" ? [event, other] : [other, event];
  const captured = { ...(intent?.["captured"] as object), ...(outcome?.["captured"] as object) };
  return known({
    ...frame,
    type: "call",
    state: outcome?.kind === "unknown" ? "outcome unknown" : "done",
    timestamp: (intent ?? event)["at"],
    tenant: (intent ?? event)["tenant"],
    emitter: (intent ?? event)["emitter"],
    ...(intent && intentFields(intent)),
    ...(outcome && outcomeFields(outcome, intent)),
    captured: Object.keys(captured).length > 0 ? captured : undefined,
  }) as unknown as AuditRecord;
}

function frameOf({ log, index }: TrailEntry, event: Event) {
  return {
    type: event.kind,
    id: event.event_id,
    log,
    index,
    timestamp: event["at"],
    storedAt: event["stored_at"],
    correlationId: event["call"],
    tenant: event["tenant"],
    emitter: event["emitter"],
  };
}

const fieldsOf: Readonly<Record<string, (event: Event) => Record<string, unknown>>> = {
  action: (event) => ({
    action: event["action"],
    result: event["result"],
    operator: event["operator"],
    subject: event["subject"],
    server: event["server"],
    target: event["target"],
    definition: event["definition"],
    previousDefinition: event["previous_definition"],
    fault: event["fault"],
    count: event["count"],
  }),
  stream: (event) => ({
    server: event["server"],
    task: event["task"],
    taskState: event["task_state"],
    eventKind: event["event_kind"],
    eventNumber: event["event_number"],
    bytes: event["bytes"],
  }),
  refusals: (event) => ({
    until: event["until"],
    protocol: event["protocol"],
    status: event["status"],
    fault: event["fault"],
    peer: event["peer"],
    count: event["count"],
  }),
  emitter: (event) => ({ service: event["service"], word: event["word"], version: event["version"] }),
};

function intentFields(intent: Event): Record<string, unknown> {
  return {
    agentId: intent["agent_id"],
    agentName: intent["agent_name"],
    agentOwner: intent["agent_owner"],
    user: intent["auth_user"],
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
    toolName: intent["method"] === "tools/call" ? intent["target"] : undefined,
    target: intent["target"],
    targetKind: intent["target_kind"],
    server: intent["server"],
    namedServer: intent["named_server"],
    resumes: intent["resumes"],
    sessionHash: intent["session_hash"],
    rpcId: intent["rpc_id"],
    trace: intent["trace"],
    requestBytes: intent["bytes"],
    argumentsHash: intent["arguments_hash"],
    a2aVersion: intent["a2a_version"],
    a2aBinding: intent["a2a_binding"],
    task: intent["task"],
    context: intent["context"],
    pushConfig: intent["push_config"],
    messageKind: intent["message_kind"],
  };
}

function outcomeFields(outcome: Event, intent: Event | undefined): Record<string, unknown> {
  const server = intent?.["server"];
  return {
    finishedAt: outcome.kind === "unknown" ? undefined : outcome["at"],
    status: outcome["status"],
    decision: outcome["decision"],
    rule: outcome["rule"],
    policyVersion: outcome["policy_version"],
    shadowDecision: outcome["shadow_decision"],
    shadowRule: outcome["shadow_rule"],
    limitPolicy: outcome["limit_policy"],
    limitLeft: outcome["limit_left"],
    fault: outcome["fault"],
    toolError: outcome["is_error"],
    duration: outcome["duration_ms"],
    responseBytes: outcome["bytes"],
    argumentsHash: intent?.["arguments_hash"] ?? outcome["arguments_hash"],
    resultHash: outcome["result_hash"],
    events: outcome["events"],
    upstream: outcome["upstream"] ?? (server === "*" ? undefined : server),
    credential: outcome["credential"],
    definition: outcome["definition"],
    task: intent?.["task"] ?? outcome["task"],
    taskState: outcome["task_state"],
    outcomeEmitter: outcome["emitter"],
  };
}

function known(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
