import { Fault, toFault, type FaultKind } from "@sluice/contracts";

interface FastifyError extends Error {
  readonly statusCode?: number;
  readonly validation?: readonly { readonly instancePath: string; readonly message?: string }[];
  readonly validationContext?: string;
}

const mostProblems = 20;
const kinds: Readonly<Record<number, FaultKind>> = { 413: "payload_too_large", 415: "unsupported_media_type" };

/** What a request failed of: a Fault as it is, bad input with the path of each thing that is wrong. */
export function faultOf(thrown: unknown): Fault {
  if (thrown instanceof Fault || !(thrown instanceof Error)) return toFault(thrown);
  const { statusCode, validation, validationContext, message }: FastifyError = thrown;
  if (validation !== undefined) {
    const where = validationContext === "querystring" ? "query" : (validationContext ?? "request");
    const problems = validation
      .slice(0, mostProblems)
      .map(
        (issue) =>
          `${where}${issue.instancePath.replace(/\/$/, "").replaceAll("/", ".")}: ${issue.message ?? "is wrong"}`,
      );
    return new Fault("invalid_request", problems.join("; "), { details: { problems } });
  }
  const isClientError = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
  return isClientError ? new Fault(kinds[statusCode] ?? "invalid_request", message) : toFault(thrown);
}
