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
  { title: "METHOD", width: 24, text: methodOf },
  { title: "TARGET", width: 36, text: targetOf },
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

/** An operation of A2A is named as 1.0 names it, whatever the client speaks. */
function methodOf({ method, a2a_version: version }: Call): string {
  return typeof version === "string" ? `${version} ${method}` : method;
}

/** At the address of all servers, the name alone does not say whose it is. */
function targetOf({ target, server, upstream, task }: Call): string {
  if (typeof task === "string") return task;
  const owner = server === "*" && typeof upstream === "string" ? `${upstream}/` : "";
  return `${owner}${target ?? "-"}`;
}

function resultOf(call: Call): string {
  if (call.state !== "done") return call.state;
  const isA2a = typeof call.a2a_version === "string";
  const trouble = call.fault ?? (call.is_error === true ? (isA2a ? "error" : "tool error") : undefined);
  const more = trouble ?? call.taskState?.replace(/^TASK_STATE_/, "").toLowerCase();
  return `${call.decision}/${call.status}${more === undefined ? "" : ` ${more}`}`;
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
