import { FieldPath, FieldPathProblem } from "@sluice/capture";
import { countedPath, type CaptureField, type Tenant } from "@sluice/contracts";
import type { Finding } from "./cross-check.ts";
import { pathRefusal } from "./limit-paths.ts";

/** An entry of `captureFields`, and where it stands. */
interface Placed {
  readonly at: readonly PropertyKey[];
  readonly field: CaptureField;
}

/** What of `captureFields` could not be taken, would never come, or must not be kept; paths are those within `audit`. */
export function checkCaptures(tenant: Tenant): Finding[] {
  const { request, response } = tenant.audit.captureFields;
  const placed = Object.entries({ request, response }).flatMap(([part, fields]) =>
    fields.map((field, index): Placed => ({ at: ["captureFields", part, index], field })),
  );
  const keyHeaders = new Set(
    tenant.authentication.flatMap((method) => (method.type === "apiKey" ? [method.headerName.toLowerCase()] : [])),
  );
  return placed.flatMap(({ at, field }, index) => [
    ...jsonPathProblem(at, field),
    ...finding([...at, "header"], headerProblem(field, keyHeaders)),
    ...finding([...at, "onPath"], field.onPath && pathRefusal(field.onPath, "so there is nothing to capture")),
    ...finding([...at, "as"], nameProblem(field, placed.slice(0, index))),
  ]);
}

function finding(path: readonly PropertyKey[], reason: string | undefined): Finding[] {
  return reason === undefined ? [] : [{ path, reason }];
}

function jsonPathProblem(at: readonly PropertyKey[], { jsonPath }: CaptureField): Finding[] {
  try {
    if (jsonPath !== undefined) void new FieldPath(jsonPath);
    return [];
  } catch (error) {
    if (!(error instanceof FieldPathProblem)) throw error;
    return [{ path: [...at, "jsonPath"], reason: error.message, offset: error.offset }];
  }
}

function headerProblem({ header }: CaptureField, keyHeaders: ReadonlySet<string>): string | undefined {
  return header !== undefined && keyHeaders.has(header.toLowerCase())
    ? "holds this tenant's keys (authentication.headerName): it is never captured"
    : undefined;
}

/** Requests and answers share the names: an event shows both together. */
function nameProblem(field: CaptureField, before: readonly Placed[]): string | undefined {
  const other = before.find((each) => each.field.as === field.as && overlap(each.field.onPath, field.onPath));
  return other && `${other.at.join(".")} has this name already, and one call can have both`;
}

function overlap(one: string | undefined, other: string | undefined): boolean {
  return one === undefined || other === undefined || countedPath(one) === countedPath(other);
}
