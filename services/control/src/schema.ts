import { writeFileSync } from "node:fs";
import { confJsonSchema } from "./conf-json-schema.ts";

/** Writes the published schema: `node services/control/dist/schema.js conf/tenants.schema.json`. */
const target = process.argv[2] ?? "conf/tenants.schema.json";
writeFileSync(target, `${JSON.stringify(confJsonSchema(), null, 2)}\n`);
