import { run } from "@sluice/runtime";
import { configSchema } from "./config.ts";
import { startSigner } from "./service.ts";

await run({ name: "signer", config: configSchema, start: startSigner });
