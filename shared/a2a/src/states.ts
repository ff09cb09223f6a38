/** Of a task: as 0.x's JSON-RPC writes it, as 1.0 does, and whether nothing comes after it. Proto's numbers are the places. */
const rows = [
  ["unknown", "TASK_STATE_UNSPECIFIED", "open"],
  ["submitted", "TASK_STATE_SUBMITTED", "open"],
  ["working", "TASK_STATE_WORKING", "open"],
  ["completed", "TASK_STATE_COMPLETED", "terminal"],
  ["failed", "TASK_STATE_FAILED", "terminal"],
  ["canceled", "TASK_STATE_CANCELED", "terminal"],
  ["input-required", "TASK_STATE_INPUT_REQUIRED", "open"],
  ["rejected", "TASK_STATE_REJECTED", "terminal"],
  ["auth-required", "TASK_STATE_AUTH_REQUIRED", "open"],
] as const;

const toCore = new Map<unknown, string>([
  ...rows.map(([legacy, core]) => [legacy, core] as const),
  ...rows.map(([, core]) => [core, core] as const),
  ...rows.map(([, core], index) => [index, core] as const),
  ["TASK_STATE_CANCELLED", "TASK_STATE_CANCELED"],
  ["cancelled", "TASK_STATE_CANCELED"],
]);
const toLegacy = new Map<string, string>(rows.map(([legacy, core]) => [core, legacy]));
const terminal = new Set<string>(rows.flatMap(([, core, end]) => (end === "terminal" ? [core] : [])));
/** What 0.1 lacks, by what comes nearest. */
const first: Readonly<Record<string, string>> = { rejected: "failed", "auth-required": "input-required" };

/** Any revision's state as 1.0 writes it; what nobody knows is unspecified. */
export function coreState(state: unknown): string {
  return toCore.get(state) ?? "TASK_STATE_UNSPECIFIED";
}

/** A state of 1.0 as 0.2 and 0.3 write it over JSON-RPC. */
export function legacyState(core: string): string {
  return toLegacy.get(core) ?? "unknown";
}

/** A state of 1.0 as 0.1 writes it: what it lacks becomes what comes nearest. */
export function firstState(core: string): string {
  const state = legacyState(core);
  return first[state] ?? state;
}

/** A state of 1.0 as 0.3 writes it over REST, with two L. */
export function protoState(core: string): string {
  return core === "TASK_STATE_CANCELED" ? "TASK_STATE_CANCELLED" : core;
}

/** The task has ended, by a state of 1.0. */
export function isTerminal(core: string | undefined): boolean {
  return core !== undefined && terminal.has(core);
}
