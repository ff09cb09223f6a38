import { visible } from "../visible.ts";
import type { Call } from "./call.ts";

interface TableColumn {
  readonly title: string;
  readonly width: number;
  readonly right?: true;
  /** Of such calls never cut: it may push what comes after it. */
  readonly whole?: (call: Call) => boolean;
  readonly text: (call: Call) => string;
}

const columns: readonly TableColumn[] = [
  { title: "TIME", width: 24, text: (call) => call.at.toISOString() },
  { title: "AGENT", width: 16, text: (call) => call.agent_id },
  { title: "METHOD", width: 24, whole: isA2a, text: methodOf },
  { title: "TARGET", width: 36, whole: isA2a, text: targetOf },
  { title: "CALL", width: 18, whole: always, text: (call) => call.call },
  { title: "MS", width: 9, right: true, text: (call) => call.duration_ms?.toFixed(1) ?? "-" },
  { title: "RESULT", width: 26, whole: always, text: resultOf },
  { title: "RULE", width: 0, whole: always, text: (call) => call.rule ?? "-" },
];

/** The line above the calls. */
export const header = columns
  .map(({ title, ...column }) => fit(title, column))
  .join("  ")
  .trimEnd();

/** A call as one aligned line; no text in it can move the cursor or change colours. */
export function callLine(call: Call): string {
  return columns
    .map((column) => fit(cut(visible(column.text(call)), column, call), column))
    .join("  ")
    .trimEnd();
}

function isA2a({ a2a_version: version }: Call): boolean {
  return typeof version === "string";
}

function always(): boolean {
  return true;
}

/** An operation of A2A is named as 1.0 names it, whatever the client speaks. */
function methodOf({ method, a2a_version: version }: Call): string {
  return typeof version === "string" ? `${version} ${method}` : method;
}

/** At the address of all servers, and of a task, the name alone does not say whose it is. */
function targetOf({ target, server, upstream, task }: Call): string {
  if (typeof task === "string") return `${server}/${task}`;
  const owner = server === "*" && typeof upstream === "string" ? `${upstream}/` : "";
  return `${owner}${target ?? "-"}`;
}

function resultOf(call: Call): string {
  if (call.state !== "done") return call.state;
  const trouble = call.fault ?? (call.is_error === true ? (isA2a(call) ? "error" : "tool error") : undefined);
  const more = trouble ?? call.taskState?.replace(/^TASK_STATE_/, "").toLowerCase();
  return `${call.decision}/${call.status}${more === undefined ? "" : ` ${more}`}`;
}

function cut(text: string, { width, whole }: TableColumn, call: Call): string {
  return text.length > width && whole?.(call) !== true ? `${text.slice(0, width - 1)}…` : text;
}

function fit(text: string, { width, right }: Pick<TableColumn, "width" | "right">): string {
  return right === true ? text.padStart(width) : text.padEnd(width);
}
