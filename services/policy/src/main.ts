import { run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { startPolicy } from "./service.ts";

await run({ name: "policy", config: configSchema, start: startPolicy });
