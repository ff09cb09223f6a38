import { visible } from "../visible.ts";

/** A column of a table on the terminal. */
export interface TableColumn<Row> {
  readonly title: string;
  readonly width: number;
  readonly right?: true;
  /** Of such rows never cut: it may push what comes after it. */
  readonly whole?: (row: Row) => boolean;
  readonly text: (row: Row) => string;
}

/** Prints rows as aligned lines; no text in them can move the cursor or change colours. */
export interface Table<Row> {
  /** The line above the rows. */
  readonly header: string;
  line(row: Row): string;
}

export function tableOf<Row>(columns: readonly TableColumn<Row>[]): Table<Row> {
  return {
    header: columns
      .map(({ title, ...column }) => fit(title, column))
      .join("  ")
      .trimEnd(),
    line: (row) =>
      columns
        .map((column) => fit(cut(visible(column.text(row)), column, row), column))
        .join("  ")
        .trimEnd(),
  };
}

function cut<Row>(text: string, { width, whole }: TableColumn<Row>, row: Row): string {
  return text.length > width && whole?.(row) !== true ? `${text.slice(0, width - 1)}…` : text;
}

function fit(text: string, { width, right }: Pick<TableColumn<never>, "width" | "right">): string {
  return right === true ? text.padStart(width) : text.padEnd(width);
}
