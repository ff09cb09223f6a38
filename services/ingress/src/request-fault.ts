import { toFault, type Fault } from "@sluice/contracts";
import { describeError, type Log } from "@sluice/telemetry";

/** A failure with what the renderer and the log need beside it. */
export class RequestFault extends Error {
  readonly fault: Fault;
  readonly rpcId: string | undefined;
  readonly traceId: string;

  constructor(thrown: unknown, rpcId: string | undefined, traceId: string) {
    const fault = toFault(thrown);
    super(fault.message, { cause: fault });
    this.fault = fault;
    this.rpcId = rpcId;
    this.traceId = traceId;
  }
}

/** The fault behind what a call threw; one that is the platform's own is logged. */
export function reportedFault(log: Log, thrown: unknown): Fault {
  const fault = thrown instanceof RequestFault ? thrown.fault : toFault(thrown);
  if (fault.row.blame === "platform") {
    const traceId = thrown instanceof RequestFault ? thrown.traceId : undefined;
    log.error({ traceId, kind: fault.kind, error: describeError(fault) }, "request failed");
  }
  return fault;
}
