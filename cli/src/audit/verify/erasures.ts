import { logOf, personalColumns } from "@sluice/contracts";
import type { Facts, StoredItem } from "./entry.ts";
import type { Problems } from "./problem.ts";

const personal: ReadonlySet<string> = new Set(personalColumns);

/** What nothing opens: of people by commitment the first event, of captured fields the first one and how many there are. */
interface ClosedOf {
  readonly people: Map<string, number>;
  captured: { readonly first: number; count: number } | undefined;
  /** Whether entries tell their hash, as an export's do and the messages of the TRAIL stream do not. */
  isExport: boolean;
}

/** Holds what nothing opens any more against the actions that say that somebody was forgotten. */
export class Erasures {
  readonly #told = new Map<string, Set<string>>();
  readonly #closed = new Map<string, ClosedOf>();

  take(log: string, { index, facts, told, closed }: StoredItem): void {
    this.#takeAction(facts);
    if (closed === undefined) return;
    const of = this.#closed.get(log) ?? { people: new Map<string, number>(), captured: undefined, isExport: false };
    this.#closed.set(log, of);
    if (told !== undefined) of.isExport = true;
    for (const { column, commitment } of closed)
      if (personal.has(column)) {
        if (!of.people.has(commitment)) of.people.set(commitment, index);
      } else if (column === "captured") {
        of.captured ??= { first: index, count: 0 };
        of.captured.count += 1;
      }
  }

  /** Whether an action says that this log has forgotten whom the commitment stands for; without one, whether anybody at all. */
  isTold(log: string, commitment?: string): boolean {
    const told = this.#told.get(log);
    return commitment === undefined ? told !== undefined : told?.has(commitment) === true;
  }

  /** Once all was taken. @returns warnings */
  end(problems: Problems): string[] {
    const warnings: string[] = [];
    for (const [log, { people, captured, isExport }] of this.#closed) {
      for (const [commitment, index] of people)
        if (!this.isTold(log, commitment)) problems.add({ kind: "erasure", log, index, text: removed(commitment) });
      if (captured === undefined || this.isTold(log)) continue;
      const { first, count } = captured;
      if (isExport) problems.add({ kind: "erasure", log, index: first, text: removedOf("captured fields", count) });
      else warnings.push(`${log}: captured fields of ${count} event${count === 1 ? "" : "s"} are not in it`);
    }
    return warnings;
  }

  #takeAction({ action, tenant, result, subject }: Facts): void {
    if (action !== "audit.erase" || (result !== "begun" && result !== "done") || subject === undefined) return;
    const log = logOf(tenant);
    this.#told.set(log, (this.#told.get(log) ?? new Set()).add(subject));
  }
}

/** In words, of somebody. */
export function removed(commitment: string): string {
  return `what the commitment ${commitment.slice(0, 12)}… stands for was removed, and no action audit.erase says so`;
}

/** In words, of what was kept of calls. */
export function removedOf(what: string, count: number): string {
  return `${what} of ${count} event${count === 1 ? " was" : "s were"} removed, and no action audit.erase says so`;
}
