import type { Renamed, Renames, TaskWatch } from "@sluice/contracts";
import type { Owner } from "./sessions.ts";

export type NameKind = "task" | "context";

/** A task or context in its caller's words. */
export interface NameClaim extends Owner {
  readonly kind: NameKind;
  readonly name: string;
}

/** What is kept of a task or context that is the caller's. */
export interface OwnName {
  readonly upstream: string;
  /** Of a task: the upstream's name of its context, and the caller's. */
  readonly context?: string | undefined;
  readonly contextClient?: string | undefined;
  readonly state?: string | undefined;
  readonly stateAt?: number | undefined;
  readonly watch?: TaskWatch | undefined;
}

/** What is found for a claim: what is the caller's, or else what the name stands for upstream, should it be new. */
export type Found = { readonly own: OwnName } | { readonly own?: undefined; readonly newUpstream: string };

/** Whose a task, a context or both are, as it is kept; all but the state is of the first who says it. */
export interface Registration extends Owner {
  readonly task?: Renamed;
  readonly context?: Renamed;
  readonly state?: string;
  /** Unix milliseconds. */
  readonly stateAt: number;
  readonly watch?: TaskWatch;
}

/** Postgres text holds neither NUL nor half a surrogate pair: two such ids could become one. */
export function isStorable(id: string): boolean {
  return !id.includes("\0") && id.isWellFormed();
}

/** Those that differ on the two sides; undefined where none does. */
export function renamesOf(tasks: readonly Renamed[], contexts: readonly Renamed[]): Renames | undefined {
  const differing = (pairs: readonly Renamed[]) => [
    ...new Map(
      pairs.filter(({ client, upstream }) => client !== upstream).map((pair) => [pair.upstream, pair]),
    ).values(),
  ];
  const renamed = { tasks: differing(tasks), contexts: differing(contexts) };
  if (renamed.tasks.length === 0 && renamed.contexts.length === 0) return undefined;
  return {
    ...(renamed.tasks.length > 0 && { tasks: renamed.tasks }),
    ...(renamed.contexts.length > 0 && { contexts: renamed.contexts }),
  };
}
