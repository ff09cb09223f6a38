import { z } from "zod";
import { editionOf, editionSchema } from "./conf-edition.ts";
import { adminRoute } from "./route.ts";

export const confHistoryRoute = adminRoute({
  method: "GET",
  path: "/v1/conf/history",
  summary: "The versions of tenants.yaml that are kept, the newest first, and which is in force",
  role: "auditor",
  answer: z.object({ current: z.int(), editions: z.array(editionSchema) }),
  handle: async (_input, { editions }) => {
    const { current, editions: kept } = await editions.list();
    return { current, editions: kept.map(editionOf) };
  },
});
