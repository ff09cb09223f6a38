import { z } from "zod";
import { editionOf, editionSchema, versionText } from "./conf-edition.ts";
import { adminRoute } from "./route.ts";

const inForce = "current";

export const confShowRoute = adminRoute({
  method: "GET",
  path: "/v1/conf/:version",
  summary: "A version of tenants.yaml with its text; the one in force is called current",
  role: "auditor",
  params: z.object({ version: z.union([z.literal(inForce), versionText]) }),
  answer: editionSchema.extend({ text: z.string() }),
  handle: async ({ params: { version } }, { editions }) => {
    const { about, text } = await editions.find(version === inForce ? undefined : version);
    return { ...editionOf(about), text };
  },
});
