import type { Intent } from "@sluice/contracts";
import type { Operation } from "./rulebook.ts";

/** What is decided upon in an attempt. Of one that asks for the rest of an answer that is what was called: its arguments are gone, and were looked at then. */
export function operationOf(call: Operation & Pick<Intent, "resumes">): Operation {
  if (call.resumes === undefined) return call;
  const { targetKind: _, target: __, ...rest } = call;
  return { ...rest, ...call.resumes, asListed: true };
}
