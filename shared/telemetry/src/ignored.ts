import type { Log } from "./log.ts";

const quietMs = 1_000;

/** Logs that a message was left unanswered, at most once a second and then how many there were since. */
export function createIgnoredLog(log: Log): (reason: string) => void {
  let count = 0;
  let quietUntil = 0;
  return (reason) => {
    count++;
    const now = Date.now();
    if (now < quietUntil) return;
    log.warn({ reason, count }, "left messages unanswered");
    count = 0;
    quietUntil = now + quietMs;
  };
}
