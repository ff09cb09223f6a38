/** What `GET /v1/conf/history` answers. */
export interface ConfHistory {
  readonly current: number;
  readonly editions: readonly {
    readonly version: number;
    readonly at: string;
    readonly by:
      { readonly kind: "file" } | { readonly kind: "rollback"; readonly operator: string; readonly to: number };
    readonly bytes: number;
    readonly tenants: number;
    readonly isKept: boolean;
  }[];
}

const widths = [8, 24, 8, 10];

/** A line for each version, the one in force with a star. */
export function historyLines({ current, editions }: ConfHistory): string {
  const rows = editions.map(({ version, at, tenants, bytes, by, isKept }) => [
    `${version}${version === current ? " *" : ""}`,
    at,
    String(tenants),
    String(bytes),
    `${by.kind === "file" ? "edit of the file" : `${by.operator}: back to ${by.to}`}${isKept ? "" : " (text too large to be kept)"}`,
  ]);
  return [["VERSION", "SINCE", "TENANTS", "BYTES", "BY"], ...rows]
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
