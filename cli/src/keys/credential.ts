/** What the admin API tells of a key or token; the text itself only once, when it is made. */
export interface Credential {
  readonly id: string;
  readonly prefix: string;
  readonly agent: string;
  readonly runtime?: string;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly expiresAt?: string;
  readonly expired: boolean;
  readonly rotatedTo?: string;
  readonly key?: string;
  readonly token?: string;
}

const widths = [20, 24, 24, 24, 16] as const;

/** A line for each; ids and names of these kinds hold nothing that a terminal would take for more than text. */
export function credentialLines(credentials: readonly Credential[]): string {
  const rows = credentials.map((one) => [
    one.prefix,
    one.runtime === undefined || one.runtime === one.agent ? one.agent : `${one.agent}/${one.runtime}`,
    one.createdAt,
    one.expired ? "expired" : (one.expiresAt ?? "never"),
    one.createdBy,
    one.rotatedTo === undefined ? "" : `rotated to ${one.rotatedTo}`,
  ]);
  const lines = [["BEGINS WITH", "AGENT", "CREATED", "EXPIRES", "BY", ""], ...rows].map((cells) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** What is to be known of a key or token that was made, beside its text. */
export function madeLine({ id, agent, key, expiresAt }: Credential): string {
  const what = key === undefined ? "token" : "key";
  const until = expiresAt === undefined ? "it does not expire" : `good until ${expiresAt}`;
  return `This ${what} of agent ${agent} is shown this once. Its id is ${id}; ${until}.\n`;
}
