import { setTimeout as delay } from "node:timers/promises";
import type { Call, CallQuery } from "./call.ts";
import type { AuditDatabase } from "./database.ts";
import type { Print } from "./print.ts";
import { callTable } from "./table.ts";

export interface TailOptions extends CallQuery {
  readonly limit: number;
  readonly follow: boolean;
  readonly json: boolean;
}

const pollMs = 500;
/** Transactions become visible out of order, but none this much later than it began. */
const windowSeconds = 60;

/** Prints the last calls and, where asked, goes on with those that end from now on. A followed call is printed once. */
export async function tail(database: AuditDatabase, options: TailOptions, print: Print): Promise<void> {
  const lineFor = options.json ? (call: Call) => JSON.stringify(call) : callTable.line;
  const { follow, limit, json } = options;
  const earlier = follow ? await database.recent(options, { windowSeconds, calls: [] }) : [];
  const last = limit === 0 ? [] : await database.last(options, limit);
  if (!json && !(await print(callTable.header))) return;
  for (const call of last) if (!(follow && isUnderWay(call)) && !(await print(lineFor(call)))) return;
  const known = [...earlier, ...last];
  let printed = new Set(known.filter((call) => !isUnderWay(call)).map(idOf));
  let awaited = known.filter(isUnderWay).map(idOf);
  if (!follow) return;
  for (;;) {
    await delay(pollMs);
    const recent = await database.recent(options, { windowSeconds, calls: awaited });
    const settled = recent.filter((call) => !isUnderWay(call));
    for (const call of settled) if (!printed.has(idOf(call)) && !(await print(lineFor(call)))) return;
    printed = new Set(settled.map(idOf));
    awaited = recent.filter(isUnderWay).map(idOf);
  }
}

function idOf({ call }: Call): string {
  return call;
}

function isUnderWay({ state }: Call): boolean {
  return state === "under way";
}
