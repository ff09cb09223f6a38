import { asBuffer, auditMessageSchema } from "@sluice/contracts";
import type { z } from "zod";
import { intentRow, outcomeRow, type EventRow } from "./event-row.ts";

/** A message that can never be stored. The reason quotes nothing of it. */
export class Poison extends Error {
  override readonly name = "Poison";
}

const mostReasons = 5;
const latestMs = Date.UTC(9999, 11, 31);
const highestStatus = 999;

/** The rows of one message of the AUDIT stream. @throws Poison */
export function readMessage(data: Uint8Array): EventRow[] {
  const parsed = auditMessageSchema.safeParse(parse(data));
  if (!parsed.success) throw new Poison(`it does not fit the schema: ${reasonsOf(parsed.error.issues).join("; ")}`);
  const message = parsed.data;
  const events = "calls" in message ? message.calls : message.outcomes;
  if (events.some(({ at }) => at < 0 || at > latestMs)) throw new Poison("at: not a time that can be stored");
  if ("calls" in message) return message.calls.map((intent) => intentRow(intent, message.from));
  if (message.outcomes.some(({ status }) => status < 0 || status > highestStatus))
    throw new Poison("status: not an HTTP status");
  return message.outcomes.map(outcomeRow);
}

function parse(data: Uint8Array): unknown {
  try {
    return JSON.parse(asBuffer(data).toString("utf8"));
  } catch {
    throw new Poison("it is not JSON");
  }
}

/** Of a union, the complaints of the alternative that came closest. */
function reasonsOf(issues: readonly z.core.$ZodIssue[]): string[] {
  return issues.slice(0, mostReasons).flatMap((issue) => {
    if (issue.code !== "invalid_union") return [`${issue.path.join(".")}: ${issue.message}`];
    const closest = issue.errors.toSorted((a, b) => depth(b) - depth(a))[0] ?? [];
    return reasonsOf(closest);
  });
}

function depth(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length));
}
