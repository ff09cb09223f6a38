import { toFault, type Fault } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";

/** What is known of a request that failed. */
export interface RequestFacts {
  readonly rpcId?: string | undefined;
  readonly traceId?: string | undefined;
  /** Whether the attempt has its events in the audit trail; else whoever answers it sees to that. */
  readonly isOnRecord?: boolean;
}

/** A failure with what the renderer, the log and the audit trail need beside it. */
export class RequestFault extends Error {
  readonly fault: Fault;
  readonly rpcId: string | undefined;
  readonly traceId: string | undefined;
  readonly isOnRecord: boolean;

  constructor(thrown: unknown, { rpcId, traceId, isOnRecord }: RequestFacts = {}) {
    const known = thrown instanceof RequestFault ? thrown : undefined;
    const fault = known?.fault ?? toFault(thrown);
    super(fault.message, { cause: fault });
    this.fault = fault;
    this.rpcId = rpcId ?? known?.rpcId;
    this.traceId = traceId ?? known?.traceId;
    this.isOnRecord = isOnRecord ?? known?.isOnRecord ?? false;
  }
}

/** A failure that is told to who reads no JSON-RPC. */
export class PlainFault extends RequestFault {}

/** The fault behind what a call threw; one that is the platform's own is logged. */
export function reportedFault(log: Log, thrown: unknown): Fault {
  const fault = thrown instanceof RequestFault ? thrown.fault : toFault(thrown);
  if (fault.row.blame === "platform") {
    const traceId = thrown instanceof RequestFault ? thrown.traceId : undefined;
    log.error({ traceId, kind: fault.kind, error: describeError(fault) }, "request failed");
  }
  return fault;
}
