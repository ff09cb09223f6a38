import { Fault } from "@sluice/contracts";
import { parseExact } from "@sluice/json";

/**
 * A parsed object whose members nobody has checked. Take members out by destructuring and make new ones by spreading: both
 * only ever see an object's own members, so that none called `__proto__` does anything.
 */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The objects of an array; nothing where there is no array. */
export function objectsOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** A string that says something. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** `{ [name]: value }`, or nothing where there is no value. */
export function member(name: string, value: unknown): JsonObject {
  return value === undefined || value === null ? {} : { [name]: value };
}

/** Parses what has passed the scanner; numbers stay as they were written. @throws Fault of `kind` */
export function parseBody(body: Buffer, kind: "parse_error" | "upstream_failed"): JsonObject {
  let parsed: unknown;
  try {
    parsed = parseExact(body.toString("utf8"));
  } catch (cause) {
    throw new Fault(kind, "the body is not valid JSON", { cause });
  }
  if (!isObject(parsed)) throw new Fault(kind, "the body is no JSON object");
  return parsed;
}
