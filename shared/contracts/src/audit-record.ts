import type { Captured } from "./audit.ts";

/** What destinations of the audit trail get; names are those of seed 001 where it has them. What is not known is absent. */
interface OfEveryRecord {
  /** The id of the event that completed it: destinations may get a record more than once, and know it by this. */
  readonly id: string;
  /** The tenant, or `_gateway`. */
  readonly log: string;
  /** The leaf of that event in the log's tree. */
  readonly index: number;
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  readonly storedAt: string;
  /** What belongs together: one call, or one action. */
  readonly correlationId?: string;
  /** Absent in `_gateway`. */
  readonly tenant?: string;
  readonly emitter: string;
}

/** A call whole: what was tried and what came of it. Personal values are plain words, or `erased-…` of who was forgotten. */
export interface CallRecord extends OfEveryRecord {
  readonly type: "call";
  readonly state: "done" | "outcome unknown";
  readonly agentId?: string;
  readonly agentName?: string;
  readonly agentOwner?: string;
  readonly user?: string;
  readonly auth?: string;
  readonly authIssuer?: string;
  readonly scopes?: readonly string[];
  readonly label?: string;
  readonly protocol?: string;
  readonly era?: string;
  readonly clientName?: string;
  readonly clientVersion?: string;
  readonly httpMethod?: string;
  readonly requestPath?: string;
  readonly protocolMethod?: string;
  /** Of `tools/call`. */
  readonly toolName?: string;
  readonly target?: string;
  readonly targetKind?: string;
  readonly server?: string;
  readonly namedServer?: string;
  readonly resumes?: unknown;
  readonly sessionHash?: string;
  readonly rpcId?: string;
  readonly trace?: string;
  readonly requestBytes?: number;
  readonly argumentsHash?: string;
  readonly finishedAt?: string;
  readonly status?: number;
  readonly decision?: string;
  readonly rule?: string;
  readonly policyVersion?: number;
  readonly shadowDecision?: string;
  readonly shadowRule?: string;
  readonly limitPolicy?: string;
  readonly limitLeft?: number;
  readonly fault?: string;
  /** `isError` of the result. */
  readonly toolError?: boolean;
  /** Milliseconds. */
  readonly duration?: number;
  readonly responseBytes?: number;
  readonly resultHash?: string;
  readonly events?: number;
  readonly upstream?: string;
  readonly credential?: string;
  readonly definition?: string;
  readonly a2aVersion?: string;
  readonly a2aBinding?: string;
  readonly task?: string;
  readonly context?: string;
  readonly pushConfig?: string;
  readonly messageKind?: string;
  readonly taskState?: string;
  readonly outcomeEmitter?: string;
  /** Values of `captureFields`; where the structured form has a field of that name already, they stay here. */
  readonly captured?: Captured;
}

/** What an operator or the gateway did or found out; `begun` and what came of it are a record each. */
export interface ActionRecord extends OfEveryRecord {
  readonly type: "action";
  readonly action: string;
  readonly result: string;
  readonly operator?: string;
  readonly subject?: string;
  readonly server?: string;
  readonly target?: string;
  readonly definition?: string;
  readonly previousDefinition?: string;
  readonly fault?: string;
  readonly count?: number;
}

/** One event of a stream of a task. */
export interface StreamRecord extends OfEveryRecord {
  readonly type: "stream";
  readonly server?: string;
  readonly task?: string;
  readonly taskState?: string;
  readonly eventKind: string;
  readonly eventNumber: number;
  readonly bytes?: number;
}

/** So many requests that were refused before anybody was known. */
export interface RefusalsRecord extends OfEveryRecord {
  readonly type: "refusals";
  readonly until: string;
  readonly protocol?: string;
  readonly status: number;
  readonly fault: string;
  readonly peer?: string;
  readonly count: number;
}

/** A process of the gateway began or ended. */
export interface EmitterRecord extends OfEveryRecord {
  readonly type: "emitter";
  readonly service: string;
  readonly word: string;
  readonly version?: string;
}

export type AuditRecord = CallRecord | ActionRecord | StreamRecord | RefusalsRecord | EmitterRecord;
