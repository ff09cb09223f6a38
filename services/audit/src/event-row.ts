import {
  logOf,
  type Action,
  type Captured,
  type Content,
  type Intent,
  type Outcome,
  type personalColumns,
  type Refusals,
  type StreamEvent,
  type TrailEvent,
} from "@sluice/contracts";

/** As the leaf's record has it: times as ISO 8601, bytes as hex. */
export type Value = string | number | boolean | readonly string[] | Readonly<Record<string, unknown>>;
/** Columns of `audit_events` that are not null, by name. */
export type Columns = Readonly<Record<string, Value>>;
type PersonalColumn = (typeof personalColumns)[number];

/** An event on its way into the store: what it says of people and content is sealed there. */
export interface NewEvent {
  readonly id: string;
  readonly log: string;
  readonly columns: Columns;
  readonly people: Readonly<Partial<Record<PersonalColumn, string>>>;
  readonly captured?: Captured | undefined;
  readonly content?: Buffer | undefined;
}

/** Of the form of events. */
const schema = 1;
/** Of a session's name: enough to group its calls. */
const sessionDigits = 16;

/** The row of an event that `emitter` told. */
export function rowOf(event: TrailEvent, emitter: string): NewEvent {
  switch (event.event) {
    case "intent":
      return intentRow(event, emitter);
    case "outcome":
      return outcomeRow(event, emitter);
    case "action":
      return actionRow(event, emitter);
    case "stream":
      return streamRow(event, emitter);
    case "refusals":
      return refusalsRow(event, emitter);
    case "content":
      return contentRow(event, emitter);
    case "emitter": {
      const { service, word, version } = event;
      return newEvent(`${emitter}.${word}`, { kind: "emitter", emitter, event }, { service, word, version });
    }
  }
}

interface Origin {
  readonly kind: string;
  readonly emitter: string;
  readonly event: { readonly at: number; readonly seq?: number | undefined; readonly tenant?: string | undefined };
}

type Loose = Readonly<Record<string, Value | undefined>>;

export function newEvent(id: string, { kind, emitter, event }: Origin, columns: Loose): NewEvent {
  const { at, seq, tenant } = event;
  const log = logOf(tenant);
  const common = { event_id: id, log, schema, kind, at: new Date(at).toISOString(), emitter, seq, tenant };
  return { id, log, columns: present({ ...common, ...columns }), people: {} };
}

function intentRow(intent: Intent, emitter: string): NewEvent {
  const { a2a, agent, call } = intent;
  const row = newEvent(
    `${call}.i`,
    { kind: "intent", emitter, event: intent },
    {
      call,
      bytes: intent.bytes,
      auth: intent.auth,
      auth_issuer: intent.issuer,
      scopes: intent.scopes,
      label: intent.label,
      protocol: intent.protocol,
      era: intent.era,
      client_name: intent.client?.name,
      client_version: intent.client?.version,
      http: intent.http,
      path: intent.path,
      method: intent.method,
      target: intent.target,
      target_kind: intent.targetKind,
      server: intent.server,
      named_server: intent.namedServer,
      resumes: intent.resumes && present(intent.resumes),
      session_hash: intent.session?.slice(0, sessionDigits),
      rpc_id: intent.rpcId,
      trace: intent.trace,
      arguments_hash: intent.argumentsHash,
      a2a_version: a2a?.version,
      a2a_binding: a2a?.binding,
      task: a2a?.task,
      context: a2a?.context,
      push_config: a2a?.pushConfig,
      message_kind: a2a?.messageKind,
    },
  );
  const people = { agent_id: agent.id, agent_name: agent.name, agent_owner: agent.owner, auth_user: intent.user };
  return { ...row, people: present(people), captured: intent.captured };
}

function outcomeRow(outcome: Outcome, emitter: string): NewEvent {
  const { call } = outcome;
  const row = newEvent(
    `${call}.o`,
    { kind: "outcome", emitter, event: outcome },
    {
      call,
      bytes: outcome.bytes,
      client_name: outcome.client?.name,
      client_version: outcome.client?.version,
      status: outcome.status,
      decision: outcome.decision,
      rule: outcome.rule,
      policy_version: outcome.policyVersion,
      shadow_decision: outcome.shadow?.decision,
      shadow_rule: outcome.shadow?.rule,
      limit_policy: outcome.limit?.policy,
      limit_left: outcome.limit?.left,
      fault: outcome.fault,
      is_error: outcome.isError,
      duration_ms: outcome.durationMs,
      events: outcome.events,
      upstream: outcome.upstream,
      credential: outcome.credential,
      definition: outcome.definition,
      result_hash: outcome.resultHash,
      task: outcome.task,
      task_state: outcome.taskState,
    },
  );
  return { ...row, captured: outcome.captured };
}

function actionRow(action: Action, emitter: string): NewEvent {
  return newEvent(
    `${action.id}.${action.result === "begun" ? "b" : "e"}`,
    { kind: "action", emitter, event: action },
    {
      call: action.id,
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
    },
  );
}

function streamRow(event: StreamEvent, emitter: string): NewEvent {
  return newEvent(
    `${event.call}.s${event.number}`,
    { kind: "stream", emitter, event },
    {
      call: event.call,
      bytes: event.bytes,
      server: event.server,
      task: event.task,
      task_state: event.taskState,
      event_kind: event.kind,
      event_number: event.number,
    },
  );
}

function refusalsRow(refusals: Refusals, emitter: string): NewEvent {
  const { id, until, protocol, status, fault, peer, count } = refusals;
  const row = newEvent(
    `${id}.r`,
    { kind: "refusals", emitter, event: refusals },
    { protocol, status, fault, count, until: new Date(until).toISOString() },
  );
  return { ...row, people: present({ peer }) };
}

function contentRow(content: Content, emitter: string): NewEvent {
  const { call, part, bytes } = content;
  const row = newEvent(`${call}.c.${part}`, { kind: "content", emitter, event: content }, { call, part, bytes });
  return { ...row, content: Buffer.from(content.data, "base64") };
}

function present<Member>(members: Readonly<Record<string, Member | undefined>>): Record<string, Member> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Record<
    string,
    Member
  >;
}

/** Postgres text holds neither NUL nor half a surrogate pair: both become U+FFFD, in names too. */
export function storable(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("\0", "\u{FFFD}").toWellFormed();
  if (Array.isArray(value)) return value.map(storable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map((member) => member.map(storable)));
}
