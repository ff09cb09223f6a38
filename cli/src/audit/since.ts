import { InvalidArgumentError } from "commander";

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Reads `90s`, `15m`, `1h`, `7d` (before now) or an ISO 8601 time. */
export function parseSince(text: string): Date {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  const since =
    ago === null
      ? new Date(isoForm.test(text) ? text : Number.NaN)
      : new Date(Date.now() - Number(ago[1]) * unitsMs[ago[2] as keyof typeof unitsMs]);
  if (Number.isNaN(since.getTime()))
    throw new InvalidArgumentError("give a span such as 15m, 1h or 7d, or a time such as 2030-01-31T12:00:00Z");
  return since;
}

const isoForm = /^\d{4}-\d{2}-\d{2}/;

const mostRows = 100_000;

/** Reads how many rows are wanted. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit > mostRows)
    throw new InvalidArgumentError(`give a whole number from 0 to ${mostRows}`);
  return limit;
}
