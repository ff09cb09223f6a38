/** Something in the file that keeps it from being used, or that is most likely not meant. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** Where in the configuration, as far as the file could be read: `tenants.acme.limits.0.path`. */
  readonly path?: string;
  readonly reason: string;
}

const mostTold = 20;

/** `file:line:column: path: reason` */
export function lineOf({ file, line, column, path, reason }: Problem): string {
  return `${file}:${line}:${column}: ${path === undefined ? "" : `${path}: `}${reason}`;
}

/** The configuration was refused; the message has a line for each problem. */
export class ConfProblems extends Error {
  override readonly name = "ConfProblems";
  readonly problems: readonly Problem[];
  /** Some of it is a key or secret that protects nothing. */
  readonly insecure: boolean;

  constructor(problems: readonly Problem[], { insecure = false } = {}) {
    const inOrder = problems.toSorted((one, other) => one.line - other.line || one.column - other.column);
    const told = inOrder.slice(0, mostTold);
    const more = problems.length - told.length;
    super([...told.map(lineOf), ...(more > 0 ? [`and ${more} more`] : [])].join("\n"));
    this.problems = told;
    this.insecure = insecure;
  }
}

/** @param code as the file system says it */
export function unreadable(file: string, code: string | undefined): ConfProblems {
  const reason =
    code === "ENOENT"
      ? "there is no such file or directory"
      : `the file can't be read: ${code ?? "for an unknown reason"}`;
  return new ConfProblems([{ file, line: 1, column: 1, reason }]);
}
