import { visible } from "../visible.ts";
import type { Call } from "./call.ts";

interface TableColumn {
  readonly title: string;
  readonly width: number;
  readonly right?: true;
  /** Never cut: it may push what comes after it. */
  readonly whole?: true;
  readonly text: (call: Call) => string;
}

const columns: readonly TableColumn[] = [
  { title: "TIME", width: 24, text: (call) => call.at.toISOString() },
  { title: "AGENT", width: 16, text: (call) => call.agent_id },
  { title: "METHOD", width: 14, text: (call) => call.method },
  { title: "TARGET", width: 24, text: targetOf },
  { title: "CALL", width: 18, whole: true, text: (call) => call.call },
  { title: "MS", width: 9, right: true, text: (call) => call.duration_ms?.toFixed(1) ?? "-" },
  { title: "RESULT", width: 26, whole: true, text: resultOf },
  { title: "RULE", width: 0, whole: true, text: (call) => call.rule ?? "-" },
];

/** The line above the calls. */
export const header = lineOf((column) => column.title);

/** A call as one aligned line; no text in it can move the cursor or change colours. */
export function callLine(call: Call): string {
  return lineOf((column) => column.text(call));
}

/** At the address of all servers, the name alone does not say whose it is. */
function targetOf({ target, server, upstream }: Call): string {
  const owner = server === "*" && typeof upstream === "string" ? `${upstream}/` : "";
  return `${owner}${target ?? "-"}`;
}

function resultOf(call: Call): string {
  if (call.state !== "done") return call.state;
  const trouble = call.fault ?? (call.is_error === true ? "tool error" : undefined);
  return `${call.decision}/${call.status}${trouble === undefined ? "" : ` ${trouble}`}`;
}

function lineOf(textOf: (column: TableColumn) => string): string {
  return columns
    .map((column) => fit(visible(textOf(column)), column))
    .join("  ")
    .trimEnd();
}

function fit(text: string, { width, right, whole }: TableColumn): string {
  const cut = whole !== true && text.length > width ? `${text.slice(0, width - 1)}…` : text;
  return right === true ? cut.padStart(width) : cut.padEnd(width);
}
