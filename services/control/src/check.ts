import { readFile } from "node:fs/promises";
import { createAddressGuard, upstreamNetworks } from "@sluice/net";
import { loadConfig } from "@sluice/runtime";
import { z } from "zod";
import { readConf } from "./read-conf.ts";

/** Checks a configuration without running anything: `node services/control/dist/check.js conf/tenants.yaml`. Problems go to stderr. */
const [file = "conf/tenants.yaml"] = process.argv.slice(2);
try {
  const { UPSTREAM_NETWORKS } = loadConfig(z.object({ UPSTREAM_NETWORKS: upstreamNetworks }));
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file}:1:1: the file can't be read: ${error.code}`);
  });
  readConf(text, {
    file,
    guard: createAddressGuard(UPSTREAM_NETWORKS),
    warn: (line) => process.stdout.write(`${line}\n`),
  });
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
