import type { Base } from "./log-check.ts";

/** That a log's tree counts though it does not come after the one that was signed: an operator has looked into it. */
export interface Acceptance extends Base {
  readonly log: string;
}

/** Reads `<log>@<size>:<root in hex>`; undefined where it is none. */
export function readAcceptance(text: string): Acceptance | undefined {
  const [, log, size, root] = /^([^@\s]+)@(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (log === undefined || size === undefined || root === undefined) return undefined;
  return { log, size: Number(size), root: Buffer.from(root, "hex") };
}
