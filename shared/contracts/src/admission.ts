import type { KnownTask } from "./a2a.ts";
import type { Protocol } from "./subjects.ts";
import type { Client, Intent, ShadowDecision, TargetKind } from "./audit.ts";

/** What ingress asks: up to `maxAdmissionBatch` calls in one message. The message itself is the stored intent of each. */
export interface AdmissionRequest {
  readonly from: string;
  readonly calls: readonly Intent[];
}

export const maxAdmissionBatch = 64;

/** What stands in a verdict of either kind. */
interface Conditional {
  /** Policy has to see the arguments before the call may go on (`gw.ask.v1.policy.arguments`). */
  readonly needsArguments?: true;
  /** Beside `needsArguments`: only what rules in shadow mode say depends on them, so the call is decided whatever comes of it. */
  readonly isOpenInShadowOnly?: true;
  /** What rules in shadow mode would have made of it. */
  readonly shadow?: ShadowDecision;
  /** A condition was asked: it holds for this call alone. */
  readonly isConditional?: true;
}

/** How a refusal by rules is told, by what was asked for. */
export type AccessFault =
  "tool_access_denied" | "prompt_access_denied" | "resource_access_denied" | "agent_access_denied";

/** Why policy lets a call pass or not. `rule` names what decided, for the audit trail and `explain`. */
export type PolicyVerdict =
  | (Conditional & {
      readonly ok: true;
      readonly rule: string;
      /** For so long the same call of the same agent may pass without being asked about, under the same version. */
      readonly leaseMs?: number;
    })
  | (Conditional & {
      readonly ok: false;
      readonly rule: string;
      readonly fault: AccessFault | "protocol_disabled";
      /** The patterns of what the agent may use of this kind. */
      readonly allowed: readonly string[];
      /** The tenant wants the refusal to look as if there were no such thing. */
      readonly hide?: boolean;
      /** The rule whose condition on arguments stands against the call: with others it may pass. */
      readonly argumentRule?: string;
    });

export type LimitVerdict =
  | {
      readonly ok: true;
      /** What was counted for the call and what is leased with it; absent where no limit applies. */
      readonly counted?: Counted;
      readonly lease?: LimitLease;
      /** How far each limit that counted the call is used. */
      readonly quotas?: readonly Quota[];
    }
  | {
      readonly ok: false;
      readonly rule: string;
      readonly retryAfterSeconds: number;
      /** Calls in flight refused it: the end of one may be on its way. */
      readonly isBusy?: boolean;
      readonly quotas?: readonly Quota[];
    };

/** What rate-limit needs to take back what it counted. */
export interface Counted {
  readonly windows?: readonly CountedWindow[];
  /** The call's places among those in flight, which it has until ingress says that it ended. */
  readonly slot?: Slot;
  /** The replica that counted, where it did so by itself because Redis is away. */
  readonly by?: string;
}

/** More calls of the same kind that may pass without being asked about, already counted. What is not used is given back. */
export interface LimitLease {
  /** Absent where no limit applies. */
  readonly calls?: number;
  /** Counted from the moment of asking, so that no call passes later than it was counted. */
  readonly ms: number;
}

export interface CountedWindow {
  readonly key: string;
  readonly part: number;
  /** It counted the call only where that was the first in the window before it. */
  readonly ifNew?: boolean;
}

/** A call in flight, by a name of its own, and the counts that it is in. */
export interface Slot {
  readonly id: string;
  readonly keys: readonly string[];
}

/** What an agent is told of a limit (draft-ietf-httpapi-ratelimit-headers). */
export interface Quota {
  /** The item of `RateLimit-Policy`. */
  readonly policy: string;
  /** Calls that would pass now. */
  readonly left: number;
  /** For so long no more than those pass. */
  readonly seconds?: number;
}

/** For so long a slot counts after ingress last said that its call is in flight; it says so every `slotRenewMs`. */
export const slotLifeMs = 15_000;
export const slotRenewMs = 5_000;

/**
 * What becomes of what was counted (`gw.ask.v1.rate-limit.give`, or the replica's own subject where `by` names one); nobody
 * answers. `leases` are calls that were not carried out, `ended` are over, and `held` are in flight still.
 */
export interface GiveBack {
  readonly leases?: readonly { readonly calls: number; readonly windows: readonly CountedWindow[] }[];
  readonly ended?: readonly Slot[];
  readonly held?: readonly Slot[];
}

/**
 * What session-manager knows of the session a call names, or of the tasks and contexts (A2A); `ok: false` for unknown, expired
 * and someone else's alike.
 */
export type SessionVerdict =
  | ({ readonly ok: true; readonly known?: undefined } & KeptSession)
  | { readonly ok: true; readonly known: KnownTask }
  | { readonly ok: false };

/** What is kept of a session beside whose it is. */
export interface KeptSession {
  /** The upstream's id, or, where `isMediated`, what egress keeps of the session. */
  readonly upstreamSession: string;
  readonly isMediated?: boolean;
  /** What of its client the upstream may go by (a hash): sessions that have the same see the same lists. */
  readonly clientClass?: string;
  /** The egress replica that holds what the session cannot do without. */
  readonly owner?: string;
  /** What its client said it is. */
  readonly client?: Client;
}

/** One service's answer to a batch: a verdict per call, in the order asked. */
export type AdmissionAnswer =
  | { readonly by: "policy"; readonly version: number; readonly verdicts: readonly PolicyVerdict[] }
  | { readonly by: "rate-limit"; readonly version: number; readonly verdicts: readonly LimitVerdict[] }
  | { readonly by: "session-manager"; readonly verdicts: readonly SessionVerdict[] };

/**
 * Asks policy about one call whose verdict depends on its arguments (`gw.ask.v1.policy.arguments`), which follow as the body:
 * no stream holds this subject, so content is on it that must not be kept.
 */
export interface ArgumentsQuestion {
  readonly call: Intent;
}

export interface ArgumentsAnswer {
  readonly version: number;
  readonly verdict: PolicyVerdict;
}

/** Arguments of more bytes are not decided upon, and so refused where a rule looks at them. */
export const mostArgumentBytes = 256 * 1024;

/** Asks policy which of these the caller may see (`gw.ask.v1.policy.filter`). */
export interface FilterQuestion extends Pick<Intent, "agent" | "issuer" | "user" | "scopes"> {
  readonly tenant: string;
  readonly protocol: Protocol;
  readonly server: string;
  readonly kind: TargetKind;
  /** Names of tools, prompts or agents; ids of skills; URIs of resources, or the texts of URI templates. */
  readonly names: readonly string[];
}

export interface FilterAnswer {
  /** Of the rules that it is answered by. */
  readonly version: number;
  readonly keep: readonly boolean[];
}

/** Registers a legacy session for a caller (`identityOf`) (`gw.ask.v1.session-manager.create`). */
export interface SessionCreate extends KeptSession {
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
}

/** Asks what is kept of the session of this name, where it is the caller's (`gw.ask.v1.session-manager.find`); that is no use of it. */
export interface SessionFind {
  readonly session: string;
  readonly tenant: string;
  readonly identity: string;
  readonly server: string;
}

export interface SessionFound {
  /** Absent where there is no such session. */
  readonly upstreamSession?: string;
}

/** Replaces what is kept of a session, where it still is what was expected (`gw.ask.v1.session-manager.update`). */
export interface SessionUpdate extends SessionFind {
  readonly expected: string;
  readonly upstreamSession: string;
}

export interface SessionUpdated extends SessionFound {
  /** False where nothing was replaced: `upstreamSession` is what is kept instead. */
  readonly ok: boolean;
}

export interface SessionCreated {
  /** The id that the client gets; it says nothing about the upstream's. */
  readonly session: string;
  /** The caller's sessions that had to make room for this one. */
  readonly ended?: readonly EndedSession[];
}

/** A mediated session that is over before its client said so. */
export interface EndedSession extends KeptSession {
  /** The session's name. */
  readonly session: string;
  readonly server: string;
}

/** Ends the session of this name (`gw.ask.v1.session-manager.end`); ending an unknown one is no error. */
export interface SessionEnd {
  readonly session: string;
}
