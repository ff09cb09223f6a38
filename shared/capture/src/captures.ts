import { countedPath, type CaptureField, type Captured } from "@sluice/contracts";
import { parseDigits } from "@sluice/json";
import { boundedValue, cleaned, cleanedFrom, Room } from "./bounded-value.ts";
import { FieldPath } from "./field-path.ts";

/** Larger messages are not looked into. */
export const mostCapturedFrom = 256 * 1024;

/** Why nothing of a message was captured, or not all that is there. */
export type Skipped = "too_large" | "not_json" | "too_many_values";

/** What a message is captured from. */
export interface Capturable {
  /** Protocol and method, such as `/mcp/tools/call`; of A2A by any of its names. */
  readonly path: string;
  /** The message; undefined where it is not whole in memory. */
  readonly body: Buffer | undefined;
  /** A header field by its name in lower case. */
  readonly header?: (name: string) => string | undefined;
  /** It is about a webhook, whose credentials are left out. */
  readonly holdsSecret?: boolean | undefined;
}

interface Wanted {
  readonly as: string;
  readonly onPath: string | undefined;
  readonly header: string | undefined;
  readonly path: FieldPath | undefined;
}

/** Takes out of messages what a tenant's `captureFields` name. */
export class Captures {
  readonly #wanted: readonly Wanted[];
  readonly #onSkip: (reason: Skipped) => void;

  /** @throws FieldPathProblem */
  constructor(fields: readonly CaptureField[], onSkip: (reason: Skipped) => void = () => {}) {
    this.#wanted = fields.map(({ as, onPath, header, jsonPath }) => ({
      as,
      onPath: onPath === undefined ? undefined : countedPath(onPath),
      header: header?.toLowerCase(),
      path: jsonPath === undefined ? undefined : new FieldPath(jsonPath),
    }));
    this.#onSkip = onSkip;
  }

  /** What is there of the wanted fields, bounded; `$skipped` says where they were not looked for. Undefined where there is none. */
  of({ path, header, ...sent }: Capturable): Captured | undefined {
    const at = countedPath(path);
    const wanted = this.#wanted.filter(({ onPath }) => onPath === undefined || onPath === at);
    if (wanted.length === 0) return undefined;
    const captured: Captured = {};
    const room = new Room();
    for (const { as, header: name } of wanted) {
      const value = name === undefined ? undefined : header?.(name);
      if (value !== undefined) captured[as] = boundedValue(cleaned(value), room);
    }
    const reason = look(wanted, sent, { room, captured });
    if (reason !== undefined) {
      captured["$skipped"] = reason;
      this.#onSkip(reason);
    }
    return Object.keys(captured).length === 0 ? undefined : captured;
  }
}

/** Puts what is found in `captured`. */
function look(
  wanted: readonly Wanted[],
  { body, holdsSecret }: Pick<Capturable, "body" | "holdsSecret">,
  { room, captured }: { readonly room: Room; readonly captured: Captured },
): Skipped | undefined {
  if (body?.length === 0 || wanted.every(({ path }) => path === undefined)) return undefined;
  if (body === undefined || body.length > mostCapturedFrom) return "too_large";
  let message: unknown;
  try {
    const text = body.toString("utf8");
    message = cleanedFrom(text, parseDigits(text));
    if (holdsSecret === true) message = withoutCredentials(message);
  } catch {
    return "not_json";
  }
  let reason: Skipped | undefined;
  for (const { as, path } of wanted) {
    try {
      const value = path?.in(message, room);
      if (value !== undefined) captured[as] = boundedValue(value, room);
    } catch {
      reason = "too_many_values";
    }
  }
  return reason;
}

/** What a client has its webhook called with (A2A 1.0 §4.3.1: `token`, and `credentials` of `authentication`). */
const credentials = new Set(["token", "credentials"]);

function withoutCredentials(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutCredentials);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([name]) => !credentials.has(name.toLowerCase()));
  return Object.fromEntries(members.map(([name, member]) => [name, withoutCredentials(member)]));
}
