import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "@sluice/contracts";
import type { Log } from "@sluice/telemetry";
import { linesOf, Speaker } from "./stdio-lines.ts";
import { StdioSession } from "./stdio-session.ts";
import type { Settings } from "./settings.ts";
import type { Upstream } from "./upstream.ts";

export interface StdioParts {
  readonly settings: Settings;
  readonly upstream: Upstream;
  readonly log: Log;
  readonly stop: AbortSignal;
}

/** For what is under way at a stop, and for the end of the session: clients kill what does not end within 2 s. */
const endMs = 800;

/**
 * Serves a client that speaks MCP by standard input and output (a message a line), and speaks Streamable HTTP to the upstream in
 * its place, of either era. Messages go on as they are. At the end of input what is under way may finish until the deadline.
 */
export async function serveStdio(parts: StdioParts, from: Readable = process.stdin, to: Writable = process.stdout) {
  const gone = new AbortController();
  const over = AbortSignal.any([parts.stop, gone.signal]);
  const speaker = new Speaker(to, () => gone.abort());
  const session = new StdioSession(parts, (text) => speaker.say(text));
  parts.log.info({ upstream: parts.upstream.origin }, "ready");
  over.addEventListener("abort", () => from.destroy(), { once: true });
  if (over.aborted) from.destroy();
  for await (const line of linesOf(from, parts.settings.MAX_BODY_BYTES)) {
    if (line instanceof Fault) session.refuse(line);
    else session.take(line);
  }
  const patience = over.aborted
    ? sleep(endMs, undefined, { ref: false })
    : sleep(parts.settings.SHUTDOWN_DEADLINE_MS, undefined, { ref: false, signal: over }).catch(() => {});
  await Promise.race([session.settled(), patience]);
  await session.end(endMs);
  // An open standard input would keep the process.
  from.destroy();
}
