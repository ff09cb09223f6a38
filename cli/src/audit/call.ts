/** Which calls are asked for. */
export interface CallQuery {
  readonly agent?: string;
  readonly tenant?: string;
  readonly since?: Date;
}

/** A row of the view `audit_calls`: one attempt. Only what the table shows is named here. */
export interface Call {
  readonly call: string;
  /** ISO 8601. */
  readonly at: string;
  readonly state: "done" | "under way" | "outcome unknown";
  readonly agent_id: string;
  readonly http: string;
  readonly method: string;
  readonly target: string | null;
  /** `*` where the address stands for all servers of the tenant. */
  readonly server: string;
  /** The server that it concerns, where that is one; missing in a database that an older Sluice made. */
  readonly upstream?: string | null;
  readonly decision: "allow" | "deny" | null;
  readonly status: number | null;
  readonly fault: string | null;
  readonly is_error: boolean | null;
  readonly duration_ms: number | null;
  readonly rule: string | null;
  /** Of a call by A2A: how the client speaks, and the task that it is about, in its last known state as 1.0 writes it. */
  readonly a2a_version?: string | null;
  readonly task?: string | null;
  readonly taskState?: string | null;
}
