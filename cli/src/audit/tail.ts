import { setTimeout as delay } from "node:timers/promises";
import type { Call, CallQuery } from "./call.ts";
import type { AuditDatabase } from "./database.ts";
import { callLine, header } from "./table.ts";

export interface TailOptions extends CallQuery {
  readonly limit: number;
  readonly follow: boolean;
  readonly json: boolean;
}

/** Prints a line; false where nobody reads any more. */
export type Print = (line: string) => Promise<boolean>;

const pollMs = 500;
/** Transactions become visible out of order, but none this much later than it began. */
const windowSeconds = 60;
/** Younger calls without an outcome are most likely still running. */
const unknownAfterMs = 10_000;

/** Prints the last calls and, where asked, goes on with those that end from now on. */
export async function tail(database: AuditDatabase, options: TailOptions, print: Print): Promise<void> {
  const lineFor = options.json ? (call: Call) => JSON.stringify(call) : callLine;
  const already = new Set((options.follow ? await database.recent(options, windowSeconds) : []).map(keyOf));
  const last = options.limit === 0 ? [] : await database.last(options, options.limit);
  if (!options.json && !(await print(header))) return;
  for (const call of last) if (!(await print(lineFor(call)))) return;
  let printed = new Set([...already, ...last.map(keyOf)]);
  while (options.follow) {
    await delay(pollMs);
    const recent = (await database.recent(options, windowSeconds)).filter(isSettled);
    for (const call of recent) if (!printed.has(keyOf(call)) && !(await print(lineFor(call)))) return;
    printed = new Set(recent.map(keyOf));
  }
}

function keyOf(call: Call): string {
  return `${call.state} ${call.call}`;
}

function isSettled(call: Call): boolean {
  return call.state === "done" || Date.now() - call.at.getTime() > unknownAfterMs;
}
