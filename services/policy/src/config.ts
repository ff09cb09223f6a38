import { z } from "zod";

/** Rules arrive over the bus; policy has no settings beside what every service reads. */
export const configSchema = z.object({});
export type Config = z.infer<typeof configSchema>;
