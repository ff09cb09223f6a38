/** What kind of thing is wrong. Part of the output for programs. */
export type ProblemKind =
  | "changed"
  | "swapped"
  | "missing"
  | "cut"
  | "order"
  | "duplicate"
  | "foreign"
  | "malformed"
  | "outside"
  | "root"
  | "head"
  | "tile"
  | "leaf-hash"
  | "commitment"
  | "retention"
  | "erasure"
  | "checkpoint"
  | "signature"
  | "unknown-key"
  | "unsigned"
  | "lost";

/** One thing that is wrong. */
export interface Problem {
  readonly kind: ProblemKind;
  /** Absent where it is no single log's. */
  readonly log?: string;
  /** The first event that may be concerned, and the last where that is another. */
  readonly index?: number;
  readonly last?: number;
  readonly text: string;
}

const most = 100;

/** Keeps the problems with the lowest indices of each log, and counts the others. */
export class Problems {
  readonly #byLog = new Map<string, Problem[]>();
  count = 0;

  add(problem: Problem): void {
    this.count += 1;
    const log = problem.log ?? "";
    const kept = this.#byLog.get(log) ?? [];
    this.#byLog.set(log, kept);
    const at = kept.findIndex((other) => placeOf(other) > placeOf(problem));
    kept.splice(at === -1 ? kept.length : at, 0, problem);
    if (kept.length > most) kept.pop();
  }

  /** By log, the lowest index first. */
  list(): Problem[] {
    return [...this.#byLog.entries()].toSorted(([one], [other]) => (one < other ? -1 : 1)).flatMap(([, kept]) => kept);
  }

  /** Whether anything is wrong with one of these events of a log. */
  within(log: string, from: number, to: number): boolean {
    return (this.#byLog.get(log) ?? []).some(
      ({ index, last }) => index !== undefined && index < to && (last ?? index) >= from,
    );
  }
}

/** What is only known to be somewhere comes behind what is known for sure. */
function placeOf({ kind, index, last }: Problem): number {
  return (kind === "root" ? last : undefined) ?? index ?? Number.POSITIVE_INFINITY;
}

/** `event 7` or `events 7–9`. */
export function events(from: number, to: number): string {
  return to - from > 1 ? `events ${from}–${to - 1}` : `event ${from}`;
}
