import { toFault } from "@sluice/contracts";
import { z } from "zod";
import type { AdminParts } from "./parts.ts";
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
  change: {
    action: "audit.read-content",
    subject: ({ params: { call }, query: { part } }) => `${call} ${part}`,
    tenant: ({ params: { call } }, { trail }) => tenantOf(trail, call),
  },
  handle: ({ params: { call }, query: { part } }, { trail }) => trail.content(call, part),
});

/** Whose call it is; undefined where the trail has none by that name. @throws Fault */
async function tenantOf(trail: AdminParts["trail"], call: string): Promise<string | undefined> {
  try {
    const { tenant } = (await trail.call(call)).call as { readonly tenant?: unknown };
    return typeof tenant === "string" ? tenant : undefined;
  } catch (error) {
    if (toFault(error).kind === "not_found") return undefined;
    throw error;
  }
}
