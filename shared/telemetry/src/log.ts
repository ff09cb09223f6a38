import { pino, type DestinationStream, type Logger } from "pino";

export type Log = Logger;

/** JSON lines, on standard output unless told where; CR and LF in values are escaped by JSON itself. */
export function createLog(service: string, level: string, to?: DestinationStream): Log {
  const options = {
    name: service,
    level,
    base: { service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return to === undefined ? pino(options) : pino(options, to);
}

/** Standard output or error; lines that come together are written together. */
export function logOutput(descriptor: 1 | 2): DestinationStream {
  return pino.destination({ dest: descriptor, sync: false });
}

/** What may be said of an error in a log: its name, message and where it came from, and never its other fields, which may hold requests. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: String(error) };
  const cause = error.cause === undefined ? undefined : describeError(error.cause);
  return { name: error.name, message: error.message, stack: error.stack, ...(cause !== undefined && { cause }) };
}
