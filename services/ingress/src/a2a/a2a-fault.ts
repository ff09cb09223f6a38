import type { A2aOperation, Dialect } from "@sluice/contracts";
import { RequestFault, type RequestFacts } from "../request-fault.ts";

/** How a client of A2A is told of a failure. */
export interface Told {
  readonly dialect: Dialect;
  /** As raw JSON. */
  readonly rpcId?: string | undefined;
  /** Where it is known what was asked for. */
  readonly operation?: A2aOperation | undefined;
}

/** A failure that is told in the client's own dialect. */
export class A2aFault extends RequestFault {
  readonly dialect: Dialect;
  readonly operation: A2aOperation | undefined;

  constructor(thrown: unknown, { dialect, rpcId, operation }: Told, facts: Omit<RequestFacts, "rpcId"> = {}) {
    super(thrown, { ...facts, rpcId });
    this.dialect = dialect;
    this.operation = operation;
  }
}

/** The dialect of a request that could not be read, as far as its address tells. */
export function dialectAt(rest: string, version: string | undefined): Dialect {
  if (rest !== "") return { version: /^\/v1(?:\/|$)/.test(rest) ? "0.3" : "1.0", binding: "HTTP+JSON" };
  return { version: version !== undefined && /^1\.0(?:\.|$)/.test(version) ? "1.0" : "0.3", binding: "JSONRPC" };
}
