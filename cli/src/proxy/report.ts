import type { Fault } from "@sluice/contracts";
import type { ReceivedHeaders } from "@sluice/relay";
import type { Log } from "@sluice/telemetry";

/** How a request ended. */
export interface Told {
  /** The upstream's. */
  readonly status?: number;
  readonly headers?: ReceivedHeaders;
  readonly bytes?: number;
  /** Of an error's body, as it came. */
  readonly start?: string;
  readonly fault?: Fault;
  /** The proxy listens in the upstream's place. */
  readonly heartbeat?: true;
}

export interface Request {
  readonly method: string;
  readonly target: string;
  readonly startedAt: number;
}

const mostShown = 512;
/** More is kept, so that nothing secret is cut in two and then not found. */
const mostKept = 8_192;
/** A shorter one would be found everywhere. */
const shortestFound = 4;
/** A clock that is further off makes upstreams refuse signatures. */
const skewSeconds = 60;

/** Keeps the beginning of a body. */
export function endOf(keep: boolean): { take: (chunk: Buffer) => void; start: () => string } {
  const parts: Buffer[] = [];
  let size = 0;
  return {
    take: (chunk) => {
      if (!keep || size >= mostKept) return;
      parts.push(chunk.subarray(0, mostKept - size));
      size += chunk.length;
    },
    start: () => Buffer.concat(parts).toString("utf8"),
  };
}

/** Writes a line for each request: never the query, a header or the body, but for the beginning of an error's, without what is secret. */
export function reporter(log: Log, secrets: readonly string[]): (request: Request, told: Told) => void {
  const found = secrets.filter(({ length }) => length >= shortestFound);
  const clean = (text: string) => found.reduce((cleaned, secret) => cleaned.replaceAll(secret, "***"), text);
  return ({ method, target, startedAt }, { status, headers, bytes, start, fault, heartbeat }) => {
    const line = {
      method,
      path: clean(target.split("?", 1)[0] ?? ""),
      durationMs: Math.round(performance.now() - startedAt),
      ...(status !== undefined && { upstreamStatus: status }),
      ...(bytes !== undefined && { bytes }),
      ...(start !== undefined && start !== "" && { error: shortened(clean(start)) }),
      ...(fault !== undefined && { fault: fault.kind, reason: fault.message }),
      ...(heartbeat && { heartbeat }),
    };
    if (fault?.kind === "client_left") log.info(line, "the client left");
    else if (fault !== undefined) log.warn(line, "no whole answer from the upstream");
    else if (status === 401 || status === 403)
      log.warn({ ...line, hint: hintOf(headers ?? {}) }, "the upstream refuses");
    else if ((status ?? 0) >= 500) log.warn(line, "the upstream failed");
    else log.info(line, heartbeat ? "the upstream does not stream: heartbeats" : "request");
  };
}

function shortened(text: string): string {
  return text.length > mostShown ? `${text.slice(0, mostShown)}…` : text;
}

function hintOf(headers: ReceivedHeaders): string {
  const theirs = Date.parse(String(headers["date"] ?? ""));
  const skew = Math.round((Date.now() - theirs) / 1_000);
  if (Math.abs(skew) > skewSeconds)
    return `this machine's clock is ${Math.abs(skew)} s ${skew > 0 ? "ahead of" : "behind"} the upstream's: signatures hold for minutes`;
  return "check MCP_API_KEY, MCP_API_SECRET and SIGNING_MODE, and what this key may do there";
}
