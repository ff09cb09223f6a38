import { confSchema } from "@sluice/contracts";
import { z } from "zod";

/** JSON Schema of `conf/tenants.yaml`, for editors. */
export function confJsonSchema(): Record<string, unknown> {
  return { title: "Sluice: conf/tenants.yaml", ...z.toJSONSchema(confSchema, { io: "input" }) };
}
