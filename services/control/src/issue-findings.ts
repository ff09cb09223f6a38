import type { z } from "zod";
import type { Finding } from "./cross-check.ts";
import { hintForKey, hintForValue } from "./suggestions.ts";

type Issue = z.core.$ZodIssue;

/** What the schema has against the configuration, in the words of who edits it. */
export function findingsOf(issue: Issue, valueAt: (path: readonly PropertyKey[]) => unknown): Finding[] {
  const { path } = issue;
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ path: [...path, key], reason: `unknown key${hintForKey(key, path)}` }));
  if (issue.code === "invalid_union") {
    const inner = closestOf(issue.errors);
    if (inner !== undefined)
      return inner.flatMap((one) => findingsOf({ ...one, path: [...path, ...one.path] }, valueAt));
  }
  return [{ path, reason: reasonOf(issue, valueAt(path)) }];
}

function reasonOf(issue: Issue, value: unknown): string {
  if (issue.code === "invalid_key") return issue.issues[0]?.message ?? issue.message;
  const choices = choicesOf(issue);
  if (choices !== undefined && isOwnWords(issue.message))
    return value === undefined ? `is missing: it ${hintForValue("", choices)}` : hintForValue(value, choices);
  if (issue.code !== "invalid_type" || !isOwnWords(issue.message)) return issue.message;
  if (value === undefined) return `is missing: it must be of type ${issue.expected}`;
  return `must be of type ${issue.expected}, and is ${kindOf(value)}`;
}

/** Messages that nobody wrote for this configuration. */
const isOwnWords = (message: string) => message.startsWith("Invalid ");

function choicesOf(issue: Issue): readonly unknown[] | undefined {
  if (issue.code === "invalid_value") return issue.values;
  return issue.code === "invalid_union" ? (issue as { options?: readonly unknown[] }).options : undefined;
}

/** Of several things that a value may be, the one that it is apart from details. */
function closestOf(alternatives: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const close = alternatives.filter((issues) =>
    issues.every(({ path, code }) => path.length > 0 || code !== "invalid_type"),
  );
  return close.toSorted((one, other) => one.length - other.length)[0];
}

function kindOf(value: unknown): string {
  if (value === null) return "empty";
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "a map" : `a ${typeof value}`;
}
