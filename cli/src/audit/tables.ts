import type { TrailRow, TrailView } from "@sluice/contracts";
import type { Call } from "./call.ts";
import { tableOf, type Table, type TableColumn } from "./lines.ts";
import { callTable } from "./table.ts";

const always = () => true;

/** A column of the view as it is. */
const column = (title: string, name: string, width: number): TableColumn<TrailRow> => ({
  title,
  width,
  text: (row) => textOf(row[name]),
});
const whole = (title: string, name: string, width: number): TableColumn<TrailRow> => ({
  ...column(title, name, width),
  whole: always,
});
const time = column("TIME", "at", 24);
const count: TableColumn<TrailRow> = { ...whole("COUNT", "count", 6), right: true };

/** How each view of the trail is shown on a terminal. */
export const tables: Readonly<Record<Exclude<TrailView, "checkpoints">, Table<TrailRow>>> = {
  calls: callTable as unknown as Table<TrailRow & Call>,
  actions: tableOf([
    time,
    column("OPERATOR", "operator", 16),
    whole("ACTION", "action", 22),
    column("TENANT", "tenant", 16),
    column("SUBJECT", "subject", 36),
    { title: "RESULT", width: 26, whole: always, text: (row) => wordsOf(row["result"], row["fault"]) },
    count,
  ]),
  refusals: tableOf([
    time,
    column("TENANT", "tenant", 16),
    column("PEER", "peer", 40),
    { title: "REFUSED", width: 26, whole: always, text: (row) => wordsOf(row["status"], row["fault"]) },
    count,
  ]),
  streams: tableOf([
    time,
    column("TENANT", "tenant", 16),
    column("SERVER", "server", 16),
    whole("TASK", "task", 36),
    whole("CALL", "call", 18),
    { ...whole("EVENT", "number", 6), right: true },
    whole("KIND", "kind", 14),
    whole("STATE", "taskState", 0),
  ]),
};

function wordsOf(...values: readonly unknown[]): string {
  return values
    .filter((value) => value !== null)
    .map(textOf)
    .join(" ");
}

function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "-";
}
