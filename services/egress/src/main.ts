import { run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { start } from "./start.ts";

await run({ name: "egress", config: configSchema, start });
