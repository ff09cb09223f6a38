import { z } from "zod";
import type { FaultKind } from "./faults.ts";

/** What control asks the audit service for operators, on `gw.ask.v1.audit.<verb>`. */

/** What is read in pages, each the view of the database `audit_<name>`; checkpoints are the table. */
export const trailViews = ["calls", "actions", "refusals", "streams", "checkpoints"] as const;
export type TrailView = (typeof trailViews)[number];

export const mostRowsPerPage = 1_000;
/** Of the rows of a page as JSON, so that it fits a message on the bus; rows that are left out come with the next one. */
export const mostBytesPerPage = 768 * 1024;

/** No value that the trail holds has it, and Postgres takes none. */
const text = (longest: number) =>
  z
    .string()
    .min(1)
    .max(longest)
    // oxlint-disable-next-line no-control-regex
    .regex(/^[^\u0000]*$/, "must not have the character U+0000");
const time = z.iso
  .datetime({ offset: true, error: "must be a time such as 2030-01-31T12:00:00Z" })
  .refine((at) => Number(at.slice(0, 4)) > 0 && !Number.isNaN(Date.parse(at)), "is no time");
const status = z.coerce.number("must be an HTTP status").int().min(100).max(599);

export const callStates = ["done", "under-way", "outcome-unknown"] as const;

const inTime = {
  tenant: text(64).optional().describe("only of this tenant; `_gateway` has what is no tenant's"),
  since: time.optional().describe("at this time or after it"),
  until: time.optional().describe("before this time"),
};

/** What each view can be asked for; all that is given has to be so. Values are compared whole and as they are written. */
export const trailFilters = {
  calls: z.strictObject({
    ...inTime,
    agent: text(256).optional().describe("id of the agent, or `erased-…` as the trail shows one that was forgotten"),
    user: text(256).optional().describe("on whose behalf it acted"),
    owner: text(256).optional().describe("of the agent"),
    server: text(128).optional().describe("that the call was sent to or acted on"),
    method: text(128).optional(),
    target: text(2_048).optional().describe("name of a tool or prompt, URI of a resource"),
    decision: z.enum(["allow", "deny"]).optional(),
    status: status.optional(),
    fault: text(64).optional(),
    rule: text(512).optional(),
    session: text(64).optional().describe("`session_hash` of another call"),
    trace: text(64).optional(),
    task: text(256).optional(),
    state: z.enum(callStates).optional(),
  }),
  actions: z.strictObject({
    ...inTime,
    operator: text(64).optional(),
    action: text(128).optional(),
    subject: text(256).optional(),
    result: z.enum(["done", "failed", "refused", "noted", "outcome-unknown"]).optional(),
    fault: text(64).optional(),
    server: text(128).optional(),
    target: text(2_048).optional(),
  }),
  refusals: z.strictObject({
    ...inTime,
    status: status.optional(),
    fault: text(64).optional(),
    peer: text(64).optional().describe("address of who asked"),
  }),
  streams: z.strictObject({
    ...inTime,
    call: text(64).optional().describe("that opened the stream"),
    server: text(128).optional(),
    task: text(256).optional(),
  }),
  checkpoints: z.strictObject(inTime),
} as const satisfies Record<TrailView, z.ZodType>;
export type TrailFilter = { readonly [View in TrailView]: z.output<(typeof trailFilters)[View]> };

/** Which part of what fits. */
export const pagingFields = {
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(mostRowsPerPage)
    .default(100)
    .describe("at most so many rows; fewer where they are large"),
  order: z.enum(["newest", "oldest"]).default("newest").describe("which come first"),
  cursor: text(512).optional().describe("`next` of the page before"),
};
const pagingSchema = z.strictObject(pagingFields);
export type Paging = z.output<typeof pagingSchema>;

/** For the verb `page`. */
export const pageQuestionSchema = z.discriminatedUnion("view", [
  z.strictObject({ view: z.literal("calls"), filter: trailFilters.calls, paging: pagingSchema }),
  z.strictObject({ view: z.literal("actions"), filter: trailFilters.actions, paging: pagingSchema }),
  z.strictObject({ view: z.literal("refusals"), filter: trailFilters.refusals, paging: pagingSchema }),
  z.strictObject({ view: z.literal("streams"), filter: trailFilters.streams, paging: pagingSchema }),
  z.strictObject({ view: z.literal("checkpoints"), filter: trailFilters.checkpoints, paging: pagingSchema }),
]);
export type PageQuestion = z.output<typeof pageQuestionSchema>;

/** A row as JSON has it: times in ISO 8601, hashes in hex. */
export type TrailRow = Readonly<Record<string, unknown>>;

export interface TrailPage {
  readonly rows: readonly TrailRow[];
  /** Absent where there are no more rows now. */
  readonly next?: string;
}

/** For the verb `call`. */
export const callQuestionSchema = z.strictObject({ call: text(64) });

/** One attempt: its row of `audit_calls`, and each event of it with all columns that are not null. */
export interface CallAnswer {
  readonly call: TrailRow;
  readonly events: readonly TrailRow[];
}

/** For the verb `content`. */
export const contentQuestionSchema = z.strictObject({ call: text(64), part: z.enum(["request", "response"]) });

/** What a call said, or its beginning. */
export interface ContentAnswer {
  readonly part: "request" | "response";
  readonly at: string;
  /** Of the whole; `data` may be less of it. */
  readonly bytes: number;
  /** Base64. */
  readonly data: string;
}

/** What the audit service answers: what was asked for, or why not. */
export type AuditAnswer<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly error: FaultKind; readonly message: string };
