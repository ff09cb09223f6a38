import { z } from "zod";
import { adminRoute } from "./route.ts";

const params = z.strictObject({ call: z.string().min(1).max(64) });

export const auditCallRoute = adminRoute({
  method: "GET",
  path: "/v1/audit/calls/:call",
  summary: "One attempt: its row, and each event of it with all its fields",
  role: "auditor",
  params,
  answer: z.object({
    call: z.looseObject({}),
    events: z.array(z.looseObject({ event_id: z.string(), kind: z.string() })).readonly(),
  }),
  handle: ({ params: { call } }, { trail }) => trail.call(call) as never,
});

export const auditContentRoute = adminRoute({
  method: "GET",
  path: "/v1/audit/calls/:call/content",
  summary: "What a call or its answer said, where the tenant has it kept",
  role: "content-auditor",
  params,
  query: z.strictObject({ part: z.enum(["request", "response"]).default("request") }),
  answer: z.object({
    part: z.enum(["request", "response"]),
    at: z.string(),
    bytes: z.number().describe("of the whole; less of it may be kept"),
    data: z.string().describe("base64"),
  }),
  change: { action: "audit.read-content", subject: ({ params: { call }, query: { part } }) => `${call} ${part}` },
  handle: ({ params: { call }, query: { part } }, { trail }) => trail.content(call, part),
});
