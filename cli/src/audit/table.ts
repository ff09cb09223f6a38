import type { Call } from "./call.ts";
import { tableOf, type TableColumn } from "./lines.ts";

const columns: readonly TableColumn<Call>[] = [
  { title: "TIME", width: 24, text: (call) => call.at },
  { title: "AGENT", width: 16, text: (call) => call.agent_id },
  { title: "METHOD", width: 24, whole: isA2a, text: methodOf },
  { title: "TARGET", width: 36, whole: isA2a, text: targetOf },
  { title: "CALL", width: 18, whole: always, text: (call) => call.call },
  { title: "MS", width: 9, right: true, text: (call) => call.duration_ms?.toFixed(1) ?? "-" },
  { title: "RESULT", width: 26, whole: always, text: resultOf },
  { title: "RULE", width: 0, whole: always, text: (call) => call.rule ?? "-" },
];

/** Calls, one per line. */
export const callTable = tableOf(columns);

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
