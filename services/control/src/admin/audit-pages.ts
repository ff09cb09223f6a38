import { pagingFields, trailFilters, type TrailView } from "@sluice/contracts";
import { z } from "zod";
import { adminRoute, type AdminRoute } from "./route.ts";

const words = z.string().nullable();
const rows = {
  calls: z.looseObject({
    call: z.string().describe("of the attempt: its correlation id"),
    at: z.string(),
    state: z.string().describe("`done`, `under way` or `outcome unknown`"),
    tenant: z.string(),
    agent_id: z.string().describe("`erased-…` where the agent was forgotten"),
    method: z.string(),
    target: words,
    decision: words,
    status: z.number().nullable(),
    fault: words,
    rule: words,
  }),
  actions: z.looseObject({
    action_id: z.string(),
    at: z.string(),
    operator: words,
    action: z.string(),
    result: z.string(),
  }),
  refusals: z.looseObject({
    at: z.string(),
    until: z.string(),
    status: z.number(),
    fault: z.string(),
    count: z.number(),
  }),
  streams: z.looseObject({
    call: z.string(),
    number: z.number(),
    at: z.string(),
    server: z.string(),
    kind: z.string(),
  }),
  checkpoints: z.looseObject({ log: z.string(), size: z.number(), root: z.string(), at: z.string(), note: z.string() }),
} satisfies Record<TrailView, z.ZodType>;

const summaries: Readonly<Record<TrailView, string>> = {
  calls: "Attempts of agents, each with how it ended",
  actions: "What operators did and tried, and what was found out",
  refusals: "Requests that were refused before anybody was known, counted",
  streams: "Events of streams of A2A tasks",
  checkpoints: "Signed checkpoints of the trail (c2sp.org/tlog-checkpoint)",
};

/** One view of the trail in pages. */
const pageRoute = (view: TrailView): AdminRoute => {
  const query = trailFilters[view].extend(pagingFields);
  return adminRoute({
    method: "GET",
    path: `/v1/audit/${view}`,
    summary: `${summaries[view]}, in pages, the newest first unless asked`,
    role: "auditor",
    query,
    answer: z.object({
      rows: z.array(rows[view]).readonly(),
      next: z.string().optional().describe("`cursor` of the next page, where there is one"),
    }),
    handle: ({ query: asked }, { trail }) => {
      const { limit, order, cursor, ...filter } = asked;
      const paging = { limit, order, ...(cursor !== undefined && { cursor }) };
      return trail.page({ view, filter, paging }) as never;
    },
  });
};

export const auditPageRoutes = (["calls", "actions", "refusals", "streams", "checkpoints"] as const).map(pageRoute);
