import { run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { startControl } from "./service.ts";

await run({ name: "control", config: configSchema, start: startControl });
