import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Fault } from "@sluice/contracts";
import { createAddressGuard, upstreamNetworks } from "@sluice/net";
import { loadConfig } from "@sluice/runtime";
import { z } from "zod";
import { fileOf } from "./conf-path.ts";
import { ConfProblems, unreadable } from "./conf-problems.ts";
import { explainCall } from "./explain/explain-call.ts";
import { questionSchema } from "./explain/question.ts";
import { readConf } from "./read-conf.ts";

const refusedExit = 2;
const failedExit = 1;

/** Explains a call without running anything: `node services/control/dist/explain.js conf`, the question as JSON on standard input. */
try {
  const file = await fileOf(process.argv[2] ?? "conf");
  const { UPSTREAM_NETWORKS } = loadConfig(z.object({ UPSTREAM_NETWORKS: upstreamNetworks }));
  const written = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw unreadable(file, error.code);
  });
  const conf = readConf(written, { file, guard: createAddressGuard(UPSTREAM_NETWORKS) });
  const question = questionSchema.safeParse(JSON.parse(await text(process.stdin)));
  if (!question.success) throw new Fault("invalid_request", z.prettifyError(question.error));
  process.stdout.write(`${JSON.stringify(explainCall({ conf, file, text: written }, question.data), null, 2)}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = error instanceof ConfProblems ? refusedExit : failedExit;
}
