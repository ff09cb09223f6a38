import { type TrailFilter, type TrailView } from "@sluice/contracts";
import type { ClientBase } from "pg";
import { Conditions } from "./condition.ts";
import { addPerson } from "./subjects.ts";

/** Which rows of a view are meant: events with the columns `at`, `id` and what the view's own row is found by. */
export interface Selection {
  /** Tables and joins; the first is called `first`. */
  readonly from: string;
  readonly conditions: Conditions;
  /** What a row is known by beside its time. */
  readonly id: string;
  /** The view whose rows are shown, and by which of its columns the row of an event is found. */
  readonly rows: string;
  readonly key: Readonly<Record<string, string>>;
}

type Select<View extends TrailView> = (client: ClientBase, filter: TrailFilter[View]) => Promise<Selection>;

/** Either end finds the other, so that Postgres can begin with the one that fewer rows fit. */
const outcome = `join audit_events as outcome on outcome.event_id = first.call || '.o' and first.event_id = outcome.call || '.i'`;
const lost = `join audit_events as lost on lost.event_id = first.call || '.u' and first.event_id = lost.call || '.i' and lost.kind = 'unknown'`;
const end = `left join audit_events as last on first.result = 'begun' and last.event_id = first.call || '.e'`;
const byLeaf = { id: "first.event_id", key: { log: "first.log", leaf_index: "first.leaf_index" } } as const;

/** Of each view what its filters mean in SQL. */
export const selections: { readonly [View in TrailView]: Select<View> } = {
  calls: async (client, filter) => {
    const conditions = ofKind("intent", filter);
    const { agent, owner, user, tenant: log } = filter;
    await addPerson(client, conditions, { column: "first.agent_id", value: agent, log });
    await addPerson(client, conditions, { column: "first.agent_owner", value: owner, log });
    await addPerson(client, conditions, { column: "first.auth_user", value: user, log });
    conditions.addIf("first.method = ?", filter.method);
    conditions.addIf("first.target = ?", filter.target);
    conditions.addIf("first.session_hash = ?", filter.session);
    conditions.addIf("first.trace = ?", filter.trace);
    conditions.addIf(
      "first.call in (select call from audit_events where task = ? and kind in ('intent', 'outcome'))",
      filter.task,
    );
    const { server } = filter;
    if (server !== undefined) {
      conditions.add("first.server in (?, '*')", server);
      conditions.add("first.server = ? or outcome.upstream = ?", server, server);
    }
    conditions.addIf("outcome.decision = ?", filter.decision);
    conditions.addIf("outcome.status = ?", filter.status);
    conditions.addIf("outcome.fault = ?", filter.fault);
    conditions.addIf("outcome.rule = ?", filter.rule);
    if (filter.state === "done") conditions.add("outcome.event_id is not null");
    if (filter.state === "under-way") conditions.add("outcome.event_id is null and lost.event_id is null");
    if (filter.state === "outcome-unknown") conditions.add("outcome.event_id is null");
    return { from: callTables(filter), conditions, rows: "audit_calls", ...byLeaf };
  },
  actions: async (_client, filter) => {
    const conditions = ofKind("action", filter);
    conditions.add("first.result in ('begun', 'refused', 'noted')");
    conditions.addIf("first.operator = ?", filter.operator);
    conditions.addIf("first.action = ?", filter.action);
    conditions.addIf("first.subject = ?", filter.subject);
    conditions.addIf("first.server = ?", filter.server);
    conditions.addIf("first.target = ?", filter.target);
    conditions.addIf("coalesce(last.fault, first.fault) = ?", filter.fault);
    conditions.addIf(
      "case when first.result = 'begun' then coalesce(last.result, 'outcome unknown') else first.result end = ?",
      filter.result?.replace("-", " "),
    );
    const asksEnd = filter.fault !== undefined || filter.result !== undefined;
    return { from: `audit_events as first ${asksEnd ? end : ""}`, conditions, rows: "audit_actions", ...byLeaf };
  },
  refusals: async (client, filter) => {
    const conditions = ofKind("refusals", filter);
    conditions.addIf("first.status = ?", filter.status);
    conditions.addIf("first.fault = ?", filter.fault);
    await addPerson(client, conditions, { column: "first.peer", value: filter.peer, log: filter.tenant });
    return { from: "audit_events as first", conditions, rows: "audit_refusals", ...byLeaf };
  },
  streams: async (_client, filter) => {
    const conditions = ofKind("stream", filter);
    conditions.addIf("first.call = ?", filter.call);
    conditions.addIf("first.server = ?", filter.server);
    conditions.addIf("first.task = ?", filter.task);
    return {
      from: "audit_events as first",
      conditions,
      rows: "audit_stream_events",
      id: "first.event_id",
      key: { call: "first.call", number: "first.event_number" },
    };
  },
  checkpoints: async (_client, filter) => {
    const conditions = new Conditions();
    addTime(conditions, filter);
    return {
      from: "audit_checkpoints as first",
      conditions,
      rows: "audit_checkpoints",
      id: "first.log || '/' || first.size",
      key: { log: "first.log", size: "first.size" },
    };
  },
};

function callTables({ server, decision, status, fault, rule, state }: TrailFilter["calls"]): string {
  const asksOutcome = [decision, status, fault, rule].some((value) => value !== undefined) || state === "done";
  const asksEither = server !== undefined || state !== undefined;
  const joins = [
    ...(asksOutcome ? [outcome] : asksEither ? [`left ${outcome}`] : []),
    ...(state === "outcome-unknown" ? [lost] : state === "under-way" ? [`left ${lost}`] : []),
  ];
  return ["audit_events as first", ...joins].join(" ");
}

/** The kind stands in the text, so that Postgres sees which partial indexes fit. */
function ofKind(kind: "intent" | "action" | "refusals" | "stream", filter: TrailFilter["checkpoints"]): Conditions {
  const conditions = new Conditions();
  conditions.add(`first.kind = '${kind}'`);
  addTime(conditions, filter);
  return conditions;
}

function addTime(conditions: Conditions, { tenant, since, until }: TrailFilter["checkpoints"]): void {
  conditions.addIf("first.log = ?", tenant);
  conditions.addIf("first.at >= ?::timestamptz", since);
  conditions.addIf("first.at < ?::timestamptz", until);
}
