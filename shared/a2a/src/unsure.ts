import { randomUUID } from "node:crypto";
import type { A2aCall, Dialect } from "@sluice/contracts";

/** Ids that begin so are the gateway's choice, for a client that leaves the choice to its agent. */
const mark = "slt-";

/** The id of a task that begins at an agent of 0.1, for a client of a later revision. */
export function chosenTask(): string {
  return `${mark}${randomUUID()}`;
}

/**
 * The client's dialect as far as its agent's tells more of it: `tasks/get` and others are worded alike in 0.1 to 0.3, but at
 * an agent of 0.1 only a client of 0.1 has chosen the id of its task.
 */
export function clientOf(
  { dialect, isUnsure, named }: Pick<A2aCall, "dialect" | "isUnsure" | "named">,
  agent: Dialect,
) {
  const isFirst = isUnsure === true && agent.version === "0.1" && named.task?.startsWith(mark) !== true;
  return isFirst ? ({ ...dialect, version: "0.1" } satisfies Dialect) : dialect;
}
