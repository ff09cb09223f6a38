import type { Call } from "./call.ts";

const answerTimeoutMs = 1_000;
/** The default `responseTimeoutMs` and a margin: most calls have an outcome by then. */
const usualMs = 310_000;
/** No endpoint's deadline is longer. */
const longestMs = 3_600_000;

/** Ids of the ingress replicas that run; undefined where that can't be known, as while all of it stops. */
export type Running = ReadonlySet<string> | undefined;

/** Asks the ingress replicas that `run.json` names for the ids under which they report calls. */
export async function runningIngresses(healthUrls: readonly string[]): Promise<Running> {
  const answers = await Promise.all(
    healthUrls
      .map(async (url) => {
        const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(answerTimeoutMs) });
        return ((await answer.json()) as { instance?: string }).instance;
      })
      .map((answer) => answer.catch(() => undefined)),
  );
  const instances = answers.filter((instance) => instance !== undefined);
  return instances.length === 0 ? undefined : new Set(instances);
}

/**
 * A call without an outcome is under way as long as the ingress replica that took it runs, and no longer than any
 * endpoint lets a call take; streams of a server's own messages (GET) have no such bound. Where it is not known which
 * replicas run, the age alone decides.
 */
export function withState(call: Call, running: Running, now: number): Call {
  if (call.state === "done") return call;
  const ageMs = now - call.at.getTime();
  const isUnderWay =
    running === undefined
      ? ageMs < usualMs
      : running.has(call.call.slice(0, call.call.indexOf("-"))) && (call.http === "GET" || ageMs < longestMs);
  return { ...call, state: isUnderWay ? "under way" : "outcome unknown" };
}
