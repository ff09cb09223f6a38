import { readFile } from "node:fs/promises";
import { createAddressGuard, upstreamNetworks } from "@sluice/net";
import { loadConfig } from "@sluice/runtime";
import { z } from "zod";
import { fileOf } from "./conf-path.ts";
import { unreadable, type Problem } from "./conf-problems.ts";
import { readConf } from "./read-conf.ts";
import type { Accepted } from "./configuration.ts";

/** Reads a directory's `tenants.yaml`, or the file, as control would. @throws ConfProblems */
export async function readConfAt(
  place: string,
  warn?: (warning: Problem) => void,
): Promise<Pick<Accepted, "conf" | "file" | "text">> {
  const file = await fileOf(place);
  const { UPSTREAM_NETWORKS } = loadConfig(z.object({ UPSTREAM_NETWORKS: upstreamNetworks }));
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw unreadable(file, error.code);
  });
  const guard = createAddressGuard(UPSTREAM_NETWORKS);
  return { conf: readConf(text, { file, guard, ...(warn !== undefined && { warn }) }), file, text };
}
