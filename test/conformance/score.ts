import { isScored, type Check, type SuiteName } from "./suites.ts";

/** Checks that were decided: passed of all, and of those that count for the revision. */
export interface Score {
  readonly passed: number;
  readonly total: number;
  readonly scoredPassed: number;
  readonly scoredTotal: number;
}

export async function scoreOf(suite: SuiteName, checks: readonly Check[]): Promise<Score> {
  const counts = await isScored(suite);
  const decided = checks.filter(({ status }) => status === "SUCCESS" || status === "FAILURE");
  const scored = decided.filter(({ scenario }) => counts(scenario));
  const passed = (of: readonly Check[]) => of.filter(({ status }) => status === "SUCCESS").length;
  return {
    passed: passed(decided),
    total: decided.length,
    scoredPassed: passed(scored),
    scoredTotal: scored.length,
  };
}
