/** Which calls are asked for. */
export interface CallQuery {
  readonly agent?: string;
  readonly tenant?: string;
  readonly since?: Date;
}

/** A row of the view `audit_calls`: one attempt. Only what the table shows is named here. */
export interface Call {
  readonly call: string;
  readonly at: Date;
  readonly state: "done" | "under way" | "outcome unknown";
  readonly agent_id: string;
  readonly http: string;
  readonly method: string;
  readonly target: string | null;
  readonly decision: "allow" | "deny" | null;
  readonly status: number | null;
  readonly fault: string | null;
  readonly is_error: boolean | null;
  readonly duration_ms: number | null;
  readonly rule: string | null;
}
