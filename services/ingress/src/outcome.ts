import type { Client, Fault, Intent, LimitState, LimitVerdict, Outcome } from "@sluice/contracts";
import type { Admitted } from "./admission.ts";

/** How a call ended on this side of egress. */
export interface Ending {
  readonly intent: Intent;
  readonly admitted: Admitted | undefined;
  readonly status: number;
  readonly fault?: Fault;
  readonly bytes?: number;
}

/** What session-manager keeps calls from being forwarded by. */
const notFound: ReadonlySet<string> = new Set(["session_not_found", "task_not_found"]);

/** What the audit trail gets of it. */
export function outcomeOf(
  { intent, admitted, status, fault, bytes = 0 }: Ending,
  { started, by }: { started: Moment; by: string },
): Outcome {
  const denied = fault !== undefined && (fault.row.blame === "policy" || notFound.has(fault.kind));
  const rule = admitted?.policy.ok === true && !admitted.limit.ok ? admitted.limit.rule : admitted?.policy.rule;
  return {
    call: intent.call,
    tenant: intent.tenant,
    at: Date.now(),
    decision: denied || admitted === undefined ? "deny" : "allow",
    status,
    durationMs: performance.now() - started.tickMs,
    bytes,
    by,
    ...(rule !== undefined && { rule }),
    ...(admitted !== undefined && knownBy(admitted)),
    ...(fault !== undefined && { fault: fault.kind }),
  };
}

/** What is known of a call once it was decided about. */
function knownBy(admitted: Admitted): Pick<Outcome, "policyVersion" | "shadow" | "limit" | "client"> {
  const { policyVersion, policy } = admitted;
  const limit = limitStateOf(admitted.limit);
  const client = clientOf(admitted);
  return {
    policyVersion,
    ...(policy.shadow !== undefined && { shadow: policy.shadow }),
    ...(limit !== undefined && { limit }),
    ...(client !== undefined && { client }),
  };
}

const longestPolicy = 256;

/** Of the limits that counted a call, the one that has the least left. */
export function limitStateOf({ quotas }: LimitVerdict): LimitState | undefined {
  const [first, ...others] = quotas ?? [];
  if (first === undefined) return undefined;
  const { policy, left } = others.reduce((least, one) => (one.left < least.left ? one : least), first);
  return { policy: policy.slice(0, longestPolicy), left: Math.trunc(left) };
}

/** What the client of the session that a call names said it is. */
export function clientOf({ session }: Admitted): Client | undefined {
  return session?.ok === true && session.known === undefined ? session.client : undefined;
}

/** One moment by two clocks: for people, and for measuring from, which never goes back. */
export interface Moment {
  /** Unix milliseconds. */
  readonly at: number;
  readonly tickMs: number;
}

export function thisMoment(): Moment {
  return { at: Date.now(), tickMs: performance.now() };
}
