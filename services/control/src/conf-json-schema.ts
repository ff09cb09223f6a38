import { confSchema } from "@sluice/contracts";
import { z } from "zod";

/** What may stand at the top beside `tenants`: a place for YAML anchors, which means nothing by itself. */
export const isAnchorPlace = (key: string) => key.startsWith(anchorPlace);
const anchorPlace = "x-";

/** JSON Schema of `conf/tenants.yaml`, for editors. */
export function confJsonSchema(): Record<string, unknown> {
  return {
    title: "Sluice: conf/tenants.yaml",
    ...z.toJSONSchema(confSchema, { io: "input" }),
    patternProperties: { [`^${anchorPlace}`]: {} },
  };
}
