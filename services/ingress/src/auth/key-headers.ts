import type { IncomingHttpHeaders } from "node:http";
import type { IngressSection } from "@sluice/contracts";

/** Whether something stands where this tenant expects keys. */
export function showsKey(
  headers: IncomingHttpHeaders,
  section: Pick<IngressSection, "keyHeaders"> | undefined,
): boolean {
  return section?.keyHeaders.some((name) => headers[name] !== undefined) === true;
}
