import type { Check } from "./suites.ts";

/** A check that is not judged the same with Sluice in between. */
export interface Difference {
  /** `scenario id`, and which of several checks with that id. */
  readonly check: string;
  readonly direct: Check["status"] | "absent";
  readonly through: Check["status"] | "absent";
  readonly error: string | undefined;
}

/** Holds two runs of one suite against each other, check by check. */
export function compare(direct: readonly Check[], through: readonly Check[]): Difference[] {
  const [wanted, found] = [keyed(direct), keyed(through)];
  return [...new Set([...wanted.keys(), ...found.keys()])].toSorted().flatMap((check) => {
    const [one, other] = [wanted.get(check), found.get(check)];
    if (one?.status === other?.status && one?.name === other?.name) return [];
    const error = other?.errorMessage ?? one?.errorMessage;
    return [{ check, direct: one?.status ?? "absent", through: other?.status ?? "absent", error }];
  });
}

function keyed(checks: readonly Check[]): Map<string, Check> {
  const byKey = new Map<string, Check>();
  for (const check of checks) {
    const key = `${check.scenario} ${check.id}`;
    let numbered = key;
    for (let number = 2; byKey.has(numbered); number++) numbered = `${key} #${number}`;
    byKey.set(numbered, check);
  }
  return byKey;
}

/** `cell` → `scenario id` → why Sluice is judged differently there. */
export type Baseline = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Review {
  readonly accepted: readonly Difference[];
  readonly unexpected: readonly Difference[];
  /** Entries of the baseline that no check needs any more. */
  readonly stale: readonly string[];
}

/**
 * What two looks have in common. Some checks of the suites measure time, and a busy machine fails them now and then, so
 * that only what differs again counts; the rest is told as having differed once.
 */
export function confirmed(first: readonly Difference[], second: readonly Difference[]): Difference[] {
  const again = new Set(second.map(({ check }) => check));
  return first.filter(({ check }) => again.has(check));
}

/** Sorts differences into those that the baseline gives a reason for and those that nobody has looked at. */
export function review(differences: readonly Difference[], reasons: Readonly<Record<string, string>>): Review {
  const isKnown = ({ check }: Difference) => Object.hasOwn(reasons, check);
  const seen = new Set(differences.map(({ check }) => check));
  return {
    accepted: differences.filter(isKnown),
    unexpected: differences.filter((difference) => !isKnown(difference)),
    stale: Object.keys(reasons).filter((check) => !seen.has(check)),
  };
}
