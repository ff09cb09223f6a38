import { visible } from "../visible.ts";
import type { Tool } from "./pins.ts";

const stateWidth = 11;
const shownDigits = 12;

/** A line for each tool: its state, the definition it has or waits with, when that was first seen, and who decided. */
export function toolLines(tools: readonly Tool[]): string {
  const rows = tools.map((tool) => {
    const { definitions, state } = tool;
    const wanted = state === "quarantined" ? "pending" : state;
    const one = definitions.findLast((definition) => definition.state === wanted);
    const waiting = definitions.filter((definition) => definition.state === "pending").length;
    const cells = [
      state.padEnd(stateWidth),
      (one?.hash ?? "").slice(0, shownDigits),
      new Date(one?.seenAt ?? 0).toISOString(),
      `${visible(`${tool.server}/${tool.tool}`)}${waiting > 1 ? ` (${waiting} definitions wait)` : ""}`,
      one?.by === undefined ? "" : `(${visible(one.by)})`,
    ];
    return cells.join("  ").trimEnd();
  });
  const header = ["STATE".padEnd(stateWidth), "DEFINITION".padEnd(shownDigits), "SEEN".padEnd(24), "TOOL"].join("  ");
  return [header, ...rows, ""].join("\n");
}
