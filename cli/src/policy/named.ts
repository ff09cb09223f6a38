export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A rule, and where it is written. */
export interface Named {
  readonly rule: string;
  readonly at?: Place | undefined;
}

export function named({ rule, at }: Named): string {
  return at === undefined ? rule : `${rule} (${at.file}:${at.line}:${at.column})`;
}
