import type { Intent, Protocol, TargetKind } from "@sluice/contracts";

/** What of a row of `audit_calls` is replayed; null is what was not there. */
export interface RecordedCall {
  readonly call: string;
  /** ISO 8601 */
  readonly at: string;
  readonly tenant: string;
  readonly agent_id: string;
  readonly agent_name: string | null;
  readonly agent_owner: string | null;
  readonly auth: string;
  readonly auth_issuer: string | null;
  readonly auth_user: string | null;
  readonly scopes: string[] | null;
  readonly protocol: Protocol;
  readonly path: string;
  readonly method: string;
  readonly target: string | null;
  readonly target_kind: TargetKind | null;
  readonly server: string;
  readonly named_server: string | null;
  readonly resumes: NonNullable<Intent["resumes"]> | null;
  /** SHA-256 in hex. */
  readonly arguments_hash: string | null;
  readonly state: string;
  readonly decision: "allow" | "deny" | null;
  readonly rule: string | null;
  readonly fault: string | null;
}

/** What rules decide, and which of them. */
export interface Decision {
  readonly decision: "allow" | "deny";
  readonly rule: string;
}

/** How rules refuse. */
const byRules: ReadonlySet<string> = new Set([
  "tool_access_denied",
  "prompt_access_denied",
  "resource_access_denied",
  "agent_access_denied",
]);

/** What rules decided then, or why that is not known: something else stood against the call. */
export function recordedDecision({ state, decision, rule, fault }: RecordedCall): Decision | string {
  if (decision === null) return state;
  if (rule === null) return `${fault ?? "refused"}, before rules were asked`;
  if (decision === "allow") return { decision, rule };
  const isBySetting = fault === "protocol_disabled" && rule.startsWith("settings.");
  return isBySetting || byRules.has(fault ?? "") ? { decision, rule } : (fault ?? "refused for another reason");
}

/** What personal columns say of who was forgotten. */
export function isForgotten(said: string | null): boolean {
  return said !== null && /^erased-[0-9a-f]{12}$/.test(said);
}
