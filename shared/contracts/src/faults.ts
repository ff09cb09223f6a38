/** Who has to act on an error: the caller, the rules, the load, the server behind, or Sluice itself. */
export type Blame = "client" | "policy" | "capacity" | "upstream" | "platform";

interface FaultRow {
  /** HTTP status of the answer. */
  readonly status: number;
  /** JSON-RPC error code; the gateway's own kinds are positive (protocols.md, modern rules). */
  readonly rpcCode: number;
  readonly blame: Blame;
  /** Seconds for `Retry-After`, where trying again can help and nothing better is known. */
  readonly retryAfterSeconds?: number;
}

/** Every way in which a request can fail, once. The key is what stands in `error` of a body and in the audit trail. */
export const faults = {
  unauthorized: { status: 401, rpcCode: 1401, blame: "client" },
  insufficient_scope: { status: 403, rpcCode: 1403, blame: "policy" },
  tool_access_denied: { status: 403, rpcCode: 1403, blame: "policy" },
  prompt_access_denied: { status: 403, rpcCode: 1403, blame: "policy" },
  resource_access_denied: { status: 403, rpcCode: 1403, blame: "policy" },
  agent_access_denied: { status: 403, rpcCode: 1403, blame: "policy" },
  tool_quarantined: { status: 403, rpcCode: 1403, blame: "policy" },
  protocol_disabled: { status: 403, rpcCode: 1403, blame: "policy" },
  role_denied: { status: 403, rpcCode: 1403, blame: "client" },
  foreign_origin: { status: 403, rpcCode: 1403, blame: "client" },
  foreign_host: { status: 403, rpcCode: 1403, blame: "client" },
  invalid_request: { status: 400, rpcCode: -32600, blame: "client" },
  parse_error: { status: 400, rpcCode: -32700, blame: "client" },
  header_mismatch: { status: 400, rpcCode: -32020, blame: "client" },
  not_found: { status: 404, rpcCode: 1404, blame: "client" },
  session_not_found: { status: 404, rpcCode: 1404, blame: "client" },
  /** A2A: no such task, or another's (1.0 §3.3.2 TaskNotFoundError). */
  task_not_found: { status: 404, rpcCode: -32001, blame: "client" },
  /** The rest of A2A's own errors that the gateway itself tells (1.0 §5.4). */
  push_not_supported: { status: 400, rpcCode: -32003, blame: "client" },
  unsupported_operation: { status: 400, rpcCode: -32004, blame: "client" },
  content_type_not_supported: { status: 400, rpcCode: -32005, blame: "client" },
  extended_card_not_configured: { status: 400, rpcCode: -32007, blame: "client" },
  version_not_supported: { status: 400, rpcCode: -32009, blame: "client" },
  invalid_params: { status: 400, rpcCode: -32602, blame: "client" },
  method_not_found: { status: 404, rpcCode: -32601, blame: "client" },
  method_not_allowed: { status: 405, rpcCode: 1405, blame: "client" },
  conflict: { status: 409, rpcCode: 1409, blame: "client" },
  client_left: { status: 499, rpcCode: 1499, blame: "client" },
  payload_too_large: { status: 413, rpcCode: 1413, blame: "client" },
  unsupported_media_type: { status: 415, rpcCode: 1415, blame: "client" },
  agent_rate_limited: { status: 429, rpcCode: 1429, blame: "policy" },
  overloaded: { status: 503, rpcCode: 1503, blame: "capacity", retryAfterSeconds: 1 },
  unavailable: { status: 503, rpcCode: 1503, blame: "platform", retryAfterSeconds: 2 },
  upstream_failed: { status: 502, rpcCode: 1502, blame: "upstream" },
  upstream_unavailable: { status: 503, rpcCode: 1503, blame: "upstream", retryAfterSeconds: 5 },
  upstream_timeout: { status: 504, rpcCode: 1504, blame: "upstream" },
  internal: { status: 500, rpcCode: -32603, blame: "platform" },
} as const satisfies Record<string, FaultRow>;

export type FaultKind = keyof typeof faults;

/** Fields of the error body beside `error` and `message`: those that seed 001 names, and hints. */
export type FaultDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/**
 * The only error that crosses a service's border. `message` is public; what only operators may see goes to `cause`.
 */
export class Fault extends Error {
  readonly kind: FaultKind;
  readonly details: FaultDetails;

  constructor(kind: FaultKind, message: string, options: { details?: FaultDetails; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "Fault";
    this.kind = kind;
    this.details = options.details ?? {};
  }

  get row(): FaultRow {
    return faults[this.kind];
  }
}

/** Turns anything thrown into a Fault; what is not one becomes `internal` and says nothing outside. */
export function toFault(thrown: unknown): Fault {
  return thrown instanceof Fault ? thrown : new Fault("internal", "internal error", { cause: thrown });
}

/** The body of an error as seed 001 shapes it: `{ error, message, …details }`. */
export function faultBody(fault: Fault): Record<string, unknown> {
  return { error: fault.kind, message: fault.message, ...fault.details };
}

/** A fault as the error of a JSON-RPC answer; `data` is the body of seed 001. */
export function rpcErrorOf(fault: Fault): { code: number; message: string; data: unknown } {
  return { code: fault.row.rpcCode, message: fault.message, data: faultBody(fault) };
}

/** The lines of the event that answers a request with a fault; an id and a blank line may follow. */
export function faultEvent(rpcId: string, fault: Fault): string {
  return `event: message\ndata: ${faultData(rpcId, fault)}\n`;
}

/** The message in it. */
export function faultData(rpcId: string, fault: Fault): string {
  return `{"jsonrpc":"2.0","id":${rpcId},"error":${JSON.stringify(rpcErrorOf(fault))}}`;
}
