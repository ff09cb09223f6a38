import {
  Fault,
  rpcErrorOf as errorOf,
  type AccessFault,
  type IngressSection,
  type Intent,
  type LimitVerdict,
  type PolicyVerdict,
  type Protocol,
} from "@sluice/contracts";
import type { Admitted } from "./admission.ts";
import { quotaHeaders, type QuotaHeaders } from "./quota-headers.ts";
import { noSuchStream } from "./resumption.ts";
import { noSuchAgent } from "./tenants.ts";

/** The error member of a JSON-RPC answer. */
export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** How an answer shows a fault, where the tenant wants it otherwise than the table of faults says. */
interface Shown {
  readonly status: number;
  readonly headers?: QuotaHeaders | undefined;
  readonly error?: RpcError;
  /** The fault that it is told as. */
  readonly as?: Fault;
  /** What was asked for is the rest of a stream, no call. */
  readonly ofStream?: boolean;
}

/** A fault that looks otherwise outside; the audit trail has its kind all the same. */
export class Refusal extends Fault {
  readonly shown: Shown;

  constructor(fault: Fault, shown: Shown) {
    super(fault.kind, fault.message, { details: fault.details });
    this.shown = shown;
  }

  /** The answer to the call gives away nothing but that there is no such thing. */
  get hidden(): boolean {
    return this.shown.error !== undefined && this.shown.ofStream !== true;
  }
}

/** The HTTP status of the answer that tells this fault. */
export function statusOf(fault: Fault): number {
  return fault instanceof Refusal ? fault.shown.status : fault.row.status;
}

/** The JSON-RPC error that tells this fault: its `data` is the body of seed 001, but for what is hidden. */
export function rpcErrorOf(fault: Fault): RpcError {
  const shown = fault instanceof Refusal ? fault.shown.error : undefined;
  return shown ?? errorOf(fault);
}

/** How refusals look to the caller. */
export interface Shape extends Pick<IngressSection, "deniedWith200" | "hidesQuarantine"> {
  /** HTTP status of what is answered as unknown. */
  readonly hiddenStatus?: number;
}

/** Plain answers have no other way to tell an error than their status. */
export const plainRefusals: Shape = { deniedWith200: false, hiddenStatus: 404 };

/**
 * @throws Fault for the first thing that stands against the call: session, policy, then limit; over A2A policy comes first, so
 * that nothing of an agent shows that the caller may not know of.
 */
export function requireAdmitted(
  { policy, limit, session }: Admitted,
  intent: Intent,
  { deniedWith200, hiddenStatus = 200 }: Shape,
): void {
  const isNotTheirs = session?.ok === false;
  if (isNotTheirs && (intent.protocol === "mcp" || policy.ok)) throw notTheirs(intent);
  if (policy.ok) {
    if (!limit.ok) throw limited(limit, intent, deniedWith200);
    if (policy.needsArguments === true) throw new Fault("internal", "policy did not see the arguments");
    return;
  }
  const fault = denial(policy, intent);
  if (policy.hide === true && policy.fault !== "protocol_disabled") {
    if (intent.protocol === "a2a") throw new Refusal(fault, { status: noSuchAgent().row.status, as: noSuchAgent() });
    const isResumption = intent.resumes !== undefined;
    throw isResumption
      ? new Refusal(fault, { status: noSuchStream().row.status, error: errorOf(noSuchStream()), ofStream: true })
      : new Refusal(fault, { status: hiddenStatus, error: unknown(policy.fault, intent) });
  }
  throw deniedWith200 ? new Refusal(fault, { status: 200 }) : fault;
}

/** What a call names is unknown, over, or another caller's: the answer is the same. */
function notTheirs({ protocol }: Intent): Fault {
  return protocol === "a2a"
    ? new Fault("task_not_found", "Task not found")
    : new Fault("session_not_found", "the session is unknown or has ended: initialize again");
}

/** The refusal of a tool in quarantine as the tenant wants refusals by rules; any other fault as it is. */
export function shownQuarantine(
  fault: Fault,
  intent: Intent,
  { deniedWith200, hidesQuarantine, hiddenStatus = 200 }: Shape,
): Fault {
  if (fault.kind !== "tool_quarantined") return fault;
  if (hidesQuarantine === true)
    return new Refusal(fault, { status: hiddenStatus, error: unknown("tool_access_denied", intent) });
  return deniedWith200 ? new Refusal(fault, { status: 200 }) : fault;
}

function limited({ rule, retryAfterSeconds, isBusy, quotas }: Limited, { agent }: Intent, with200: boolean): Refusal {
  const what = isBusy === true ? "too many calls in flight" : "rate limit reached";
  const fault = new Fault("agent_rate_limited", `${what} (${rule}): try again in ${retryAfterSeconds} s`, {
    details: { agentId: agent.id, retryAfterSeconds },
  });
  return new Refusal(fault, { status: with200 ? 200 : fault.row.status, headers: quotaHeaders(quotas) });
}

type Denied = Extract<PolicyVerdict, { ok: false }>;
type Limited = Extract<LimitVerdict, { ok: false }>;

const kinds: Record<AccessFault, { use: string; name: string; allowed: string }> = {
  tool_access_denied: { use: "invoke tool", name: "tool", allowed: "allowedTools" },
  prompt_access_denied: { use: "use prompt", name: "prompt", allowed: "allowedPrompts" },
  resource_access_denied: { use: "access resource", name: "resource", allowed: "allowedResources" },
  agent_access_denied: { use: "call agent", name: "agent", allowed: "allowedAgents" },
};

function denial({ fault, allowed, argumentRule }: Denied, intent: Intent): Fault {
  const { agent } = intent;
  const { target = "" } = intent.resumes ?? intent;
  if (fault === "protocol_disabled") return protocolDisabled(intent.protocol);
  const kind = kinds[fault];
  return new Fault(fault, `Agent '${agent.id}' is not authorized to ${kind.use} '${target}'`, {
    details: { [kind.allowed]: allowed, ...(argumentRule !== undefined && { rule: argumentRule }) },
  });
}

/** The refusal of a protocol that the tenant has switched off. */
export function protocolDisabled(protocol: Protocol): Fault {
  return new Fault("protocol_disabled", `${protocol.toUpperCase()} is switched off for this tenant`);
}

const invalidParams = -32602;
/** Only in the legacy era (MCP 2025-11-25, Resources, Error Handling); the modern one has -32602 for it. */
const resourceNotFound = -32002;

/** What a server says that has no such thing (MCP, Error Handling of Tools, Prompts and Resources). */
function unknown(fault: AccessFault, { target = "", era, method }: Intent): RpcError {
  if (fault === "resource_access_denied" && method !== "completion/complete") {
    const code = era === "legacy" ? resourceNotFound : invalidParams;
    return { code, message: "Resource not found", data: { uri: target } };
  }
  return { code: invalidParams, message: `Unknown ${kinds[fault].name}: ${target}` };
}
